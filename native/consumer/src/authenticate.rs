//! Credentials, given to librdkafka.

use std::ffi::{c_char, CString, NulError};
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::client::{done, failed, Client};
use crate::code::Code;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::text::c_text;

impl Client {
    /// Takes credentials for the connections that are made from now on. A token that librdkafka does
    /// not take is one that could not be had.
    pub(crate) fn authenticate(&self, credentials: Credentials) -> Result<(), Error> {
        match credentials {
            Credentials::Password { username, password } => {
                self.set_password(c_string(username)?, c_string(password)?)
            }
            Credentials::Token {
                token,
                expiry,
                principal,
            } => match self.set_token(c_string(token)?, expiry, c_string(principal)?) {
                Ok(()) => Ok(()),
                Err(reason) => self.refuse_token(reason),
            },
            Credentials::NoToken(reason) => self.refuse_token(reason),
        }
    }

    fn set_password(&self, username: CString, password: CString) -> Result<(), Error> {
        // SAFETY: the instance is live, both strings are NUL-terminated and copied.
        failed("set credentials", unsafe {
            rd::rd_kafka_sasl_set_credentials(self.ptr(), username.as_ptr(), password.as_ptr())
        })
    }

    fn set_token(&self, token: CString, expiry: i64, principal: CString) -> Result<(), String> {
        let mut text = [0 as c_char; 512];
        // SAFETY: the instance is live, the strings are NUL-terminated and copied, there are no
        // extensions, and the buffer is as long as is said.
        let err = unsafe {
            rd::rd_kafka_oauthbearer_set_token(
                self.ptr(),
                token.as_ptr(),
                expiry,
                principal.as_ptr(),
                ptr::null_mut(),
                0,
                text.as_mut_ptr(),
                text.len(),
            )
        };
        done("set token", err).map_err(|_| c_text(&text))
    }

    fn refuse_token(&self, reason: String) -> Result<(), Error> {
        let reason = c_string(reason)?;
        // SAFETY: the instance is live, the string NUL-terminated and copied.
        done("refuse token", unsafe {
            rd::rd_kafka_oauthbearer_set_token_failure(self.ptr(), reason.as_ptr())
        })
    }
}

// The error of the string itself holds it, and must not be shown.
fn c_string(text: String) -> Result<CString, Error> {
    CString::new(text).map_err(|_: NulError| {
        Code::of(RDKafkaRespErr::RD_KAFKA_RESP_ERR__INVALID_ARG).map_or(Error::Closed, |code| {
            Error::kafka("credentials with a zero byte", code)
        })
    })
}
