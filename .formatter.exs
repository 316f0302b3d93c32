[
  inputs: [
    "{mix,.formatter}.exs",
    "bench/*.exs",
    "bench/lib/**/*.ex",
    "{lib,test,offline,dev}/**/*.{ex,exs}"
  ]
]
