[
  inputs: ["{mix,.formatter}.exs", "{lib,test,offline,bench,dev}/**/*.{ex,exs}"]
]
