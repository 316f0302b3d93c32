[
  inputs: ["{mix,.formatter}.exs", "bench/*.exs", "{lib,test,offline,dev}/**/*.{ex,exs}"]
]
