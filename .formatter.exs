[
  inputs: ["{mix,.formatter}.exs", "{lib,test,offline,bench}/**/*.{ex,exs}"]
]
