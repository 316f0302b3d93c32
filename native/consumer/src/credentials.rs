//! Credentials that a member is given while it runs.

/// Who the member is to the brokers it connects to from now on. No `Debug`: they are secrets.
pub enum Credentials {
    /// For PLAIN and SCRAM.
    Password {
        /// The user's name.
        username: String,
        /// Its password.
        password: String,
    },
    /// For OAUTHBEARER.
    Token {
        /// The token.
        token: String,
        /// When it ends, in milliseconds since the Unix epoch.
        expiry: i64,
        /// Whom it speaks for.
        principal: String,
    },
    /// No token could be had, for this reason. It is asked for again ten seconds later.
    NoToken(String),
}
