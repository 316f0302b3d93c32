defmodule OffBroadwayRustKafka.Options.Schema do
  @moduledoc false
  # Each option by itself: its type, its default and its documentation.

  alias OffBroadwayRustKafka.{Credentials, Hosts, MessageFormat, Properties, Topics}
  alias OffBroadwayRustKafka.Options.Types

  @day 86_400_000

  @options [
    hosts: [
      required: true,
      type: {:custom, Hosts, :parse, []},
      type_doc: "`t:term/0`",
      doc: """
      The brokers to ask for the cluster first. Any of `"kafka-1:9092,kafka-2:9092"`,
      `["kafka-1:9092", "kafka-2"]`, `[{"kafka-1", 9092}]` and `[localhost: 9092]`; a host may
      be a string, an atom, a charlist or an `:inet` address, an IPv6 address in a string stands
      in brackets, and the port is 9092 when none is given.
      """
    ],
    group_id: [
      required: true,
      type: {:custom, Types, :group_id, []},
      type_doc: "`t:String.t/0`",
      doc: "The consumer group whose member this pipeline is."
    ],
    topics: [
      required: true,
      type: {:custom, Topics, :parse, []},
      type_doc: "list of `t:String.t/0` or `t:keyword/0`",
      doc: """
      The topics to read. Each is a name, or a keyword list of `:name` (or `:topic`) and options
      of that topic alone: `[name: "orders", offset_reset_policy: :earliest]`.
      """
    ],
    offset_reset_policy: [
      type: {:custom, Topics, :policy, []},
      type_doc: "`:earliest`, `:latest` or `{:timestamp, milliseconds}`",
      default: :latest,
      doc: """
      Where a partition starts that the group has no committed offset for, or whose committed
      offset is gone: its first record, its end, or its first record at or after a time (in
      milliseconds since the Unix epoch). The start is committed at once, so that a restart
      before the first acknowledgement skips nothing. Where retention has overtaken a slow or stopped
      group, `:latest` passes over the records that are left: use `:earliest` where each counts.
      What appears while the pipeline runs starts at its first record under every policy: partitions
      that are added, a topic that is created later, or deleted and created again. It is noticed
      within librdkafka's `topic.metadata.refresh.interval.ms`, 10 seconds unless `:config` says
      otherwise.
      """
    ],
    commit_interval: [
      type: {:custom, Types, :integer, [0, @day, "milliseconds"]},
      type_doc: "`t:non_neg_integer/0`",
      default: 200,
      doc: """
      Milliseconds between commits: what a `kill -9` may deliver again. With 0 an offset is
      committed as soon as all before it are acknowledged. There is never more than one commit
      under way.
      """
    ],
    drain_timeout: [
      type: {:custom, Types, :integer, [0, @day, "milliseconds"]},
      type_doc: "`t:non_neg_integer/0`",
      default: 10_000,
      doc: """
      Milliseconds that a partition which moves to another member may wait for its messages in
      flight; those still unacknowledged then are delivered again by its next owner. At most half
      of librdkafka's `max.poll.interval.ms` (300000 by default), past which the group would
      expel the member.
      """
    ],
    max_in_flight: [
      type: {:custom, Types, :integer, [1, 100_000_000, "records"]},
      type_doc: "`t:pos_integer/0`",
      doc: """
      How many records of one partition may be delivered and not acknowledged. A partition at its
      limit waits, and leaves the demand to the others. The default comes from the pipeline: what
      one processor asks for and half of what the others do, or, if that is more, what one
      processor asks for and two batches of every batcher. As long as it is below what all
      processors ask for together (their `:concurrency` times `:max_demand`), one slow partition
      does not stop the others; below two batches, batches may leave by their `:batch_timeout`
      only. Set it when `:batch_size` is a function. With a `:chunk_size` the default is as many times
      that, and a partition has no more chunks in flight, full or not, than records by this limit
      would fill.
      """
    ],
    chunk_size: [
      type: {:custom, Types, :integer, [1, 5_000, "records"]},
      type_doc: "`t:pos_integer/0`",
      doc: """
      Makes each message a chunk: a list of up to so many records of one partition, acknowledged as
      one. For pipelines that insert in bulk anyway; it takes many times the records per second. A few
      hundred are enough. `:max_demand`, `:batch_size` and `:rate_limiting` then count chunks. See
      `OffBroadwayRustKafka.Chunk`. By default a message is a record.
      """
    ],
    headers: [
      type: {:in, [true, false]},
      type_doc: "`t:boolean/0`",
      default: true,
      doc: """
      Whether records have their headers. In a chunk those of a small record take as much CPU time as all
      the rest of it: where they are not needed `false` saves that.
      """
    ],
    max_buffered_bytes: [
      type: {:custom, Types, :integer, [1_000_000, 1_000_000_000_000, "bytes"]},
      type_doc: "`t:pos_integer/0`",
      default: 64 * 1024 * 1024,
      doc: """
      How many bytes may be fetched and not delivered, over all partitions: keys and values, and 400
      bytes for each record. Half is for partitions at their `:max_in_flight`, of which nothing more
      is fetched once they have their share; an eighth waits in the producers' queues; the rest is
      what fetches bring, a sixteenth each (but 1 MB at least), one at a time from each broker. Three
      things do not count: what a compressed fetch is larger once it is unpacked; that a partition
      at its limit keeps up to two records; and that the queue of each producer may get a fetch of
      each broker, when it has room. Measured with the default of 64 MiB and 1000 full partitions:
      the process grows by about 60 MiB when they are read, by 65 MiB when nothing is read, and when
      all 1000 are at their limit at once by 90 MiB (records of 10 KiB) or 300 MiB (of 100 KiB, one of
      each in flight). More helps where brokers are far away.

      Of one partition a fetch brings a 64th (`fetch.message.max.bytes` in `:config`), which is
      1 MiB by default, so that the batches of producers fit: brokers give larger ones one at a
      time. Groups that start a pipeline or a stage for each partition, and members that are
      shared, fetch a 512th: where producers' batches are larger than these 128 KiB, give them
      more.
      """
    ],
    message_format: [
      type: {:custom, MessageFormat, :parse, []},
      type_doc: "`:value`, `:record` or `:klife`",
      default: :value,
      doc: """
      What the data of a message is: the record's value, as in broadway_kafka; an
      `t:OffBroadwayRustKafka.Record.t/0`; or the `Klife.Record` that off_broadway_klife has, with empty
      metadata, where klife is there. With a `:chunk_size` there is no choice.
      """
    ],
    unacked_timeout: [
      type: {:custom, Types, :timeout, []},
      type_doc: "`t:pos_integer/0` or `:infinity`",
      default: 60_000,
      doc: """
      Milliseconds that the oldest unacknowledged record of a partition may stay the same before
      `:on_unacked` happens, and again after as many more. Until it is acknowledged nothing more of
      its partition is committed. A handler that hangs, and a `c:Broadway.handle_batch/4` that
      returns fewer messages than it got, are seen by this; a stage that crashes needs no
      timeout, what it held is delivered again at once. The default is twice the time that Broadway gives a
      stage to shut down: longer than most handlers take, short enough to be told of before a
      queue is long. Set it above the longest `:batch_timeout` and, under `:rate_limiting`, above the
      time that one processor's `:max_demand` takes.
      """
    ],
    on_unacked: [
      type: {:in, [:report, :redeliver, :stop]},
      type_doc: "`:report`, `:redeliver` or `:stop`",
      default: :report,
      doc: """
      What happens to a partition past its `:unacked_timeout`. `:report`, the default, emits the
      telemetry event `[:off_broadway_rust_kafka, :stalled]` and logs a warning: only you know how long your
      handlers may take, and to deliver again what is merely slow would do its work twice.
      `:redeliver` also delivers the unacknowledged records of that partition again: for handlers that
      may lose messages. They come to the same processor, so it does not help one that hangs.
      `:stop` also restarts the pipeline's stages, within the limits of Broadway's `:max_restarts`,
      from the committed offsets: for handlers that may hang.
      """
    ],
    telemetry_interval: [
      type: {:custom, Types, :timeout, []},
      type_doc: "`t:pos_integer/0` or `:infinity`",
      default: 10_000,
      doc: """
      Milliseconds between the telemetry events that are periodic: `[:off_broadway_rust_kafka, :pulled]`,
      and `[:off_broadway_rust_kafka, :lag]` for each partition. `:infinity` for none.
      """
    ],
    on_fatal: [
      type: {:in, [:retry, :stop]},
      type_doc: "`:retry` or `:stop`",
      default: :retry,
      doc: """
      What happens after an error that time alone does not end: the brokers refuse the user or its
      permissions, or are too old for an option. `:retry`, the default, keeps the pipeline up and goes on
      trying: once the permission is given or the password right, it goes on by itself, with nothing to
      restart, and what else the node does is not touched. `:stop` ends the pipeline, after what is in
      flight was handled, by the reason `{:shutdown, %OffBroadwayRustKafka.Error{}}`: for those whose
      deployment should fail where its configuration does. Either way there is an `:error` event, and a
      log line says what to do. See [Errors](guides/errors.md).
      """
    ],
    group_protocol: [
      type: {:in, [:classic, :consumer]},
      type_doc: "`:classic` or `:consumer`",
      default: :classic,
      doc: """
      How the group rebalances. `:classic` works with every broker, with the cooperative-sticky
      assignor unless `"partition.assignment.strategy"` in `:config` says otherwise. `:consumer` is
      the protocol of KIP-848, for Kafka 4.0 and later: there the broker decides on the session
      timeout, the heartbeat interval and the assignor, and those properties are refused.
      """
    ],
    instance_id: [
      type: {:custom, Types, :instance_id, []},
      type_doc: "`t:String.t/0`",
      doc: """
      Makes the pipeline a static member of its group: one that comes back under the same name within
      the session timeout gets its partitions again, and none moves meanwhile. It must differ for each
      running instance. Of two with the same the older is fenced: it gives up its partitions, says so
      by an `:error` event, and stays out. Under `group_protocol: :consumer` it is the newer that waits,
      until the older has stopped or, where it was killed, until its session has ended.
      """
    ],
    oauthbearer: [
      type: {:custom, Credentials, :source, []},
      type_doc: "function without arguments or `{module, function, arguments}`",
      doc: """
      For SASL OAUTHBEARER: what is called for a token when the pipeline starts, and again when four
      fifths of a token's life are over. It answers
      `{:ok, token: string, principal: string, lifetime: milliseconds}`, where the lifetime counts from
      now, or `{:error, reason}`. Where it fails, raises or takes longer than 30 seconds there is an
      `:error` event of the code `:authentication`, with the reason, and it is called again ten seconds
      later; the last token serves as long as it lives. It runs in a process of its own.
      `"security.protocol"` in `:config` has to be `sasl_ssl`, or `sasl_plaintext` without TLS under it.
      """
    ],
    config: [
      type: {:custom, Properties, :parse, []},
      type_doc: "`t:keyword/0`, `t:map/0` or list of `{name, value}`",
      default: [],
      doc: """
      Any librdkafka property by its own name, as in `["security.protocol": "ssl"]` or
      `%{"session.timeout.ms" => 10_000}`; see its
      [list of properties](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md).
      A secret, such as `"sasl.password"` or `"ssl.key.pem"`, and `"sasl.username"` may also be a function without
      arguments, or `{:file, path}`: it is read when the member starts, and again when it is refused. See
      [Security](guides/security.md).
      Those that the options above stand for, or that the consumer needs as they are, are refused.
      Values never appear in errors where they may be secret, in logs, in telemetry or in the state
      of a process.
      """
    ]
  ]

  @producer NimbleOptions.new!(@options)

  @spec producer() :: NimbleOptions.t()
  def producer, do: @producer

  @doc "What every member takes, whoever handles its records."
  @spec member() :: keyword()
  def member, do: Keyword.drop(@options, [:chunk_size, :message_format])
end
