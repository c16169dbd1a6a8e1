package holdfast.streams;

import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.Options;

/**
 * Holdfast's work on Kafka Streams, for scripts/bench: {@code App stock-check|pipeline BROKERS PREFIX STATE_DIR [THREADS [NAME=VALUE]...]}. The same topics
 * and records; rows are kept for ever here (Holdfast's leave after a window), and there are no payments.
 */
public final class App {
  /** Small memtables, so that RocksDB writes uncommitted state to disk often: for the test of kill -9 alone. */
  public static final class SmallMemtables implements org.apache.kafka.streams.state.RocksDBConfigSetter {
    @Override
    public void setConfig(String store, Options options, Map<String, Object> configs) {
      options.setWriteBufferSize(128 << 10);
    }

    @Override
    public void close(String store, Options options) {}
  }

  private final Topology topology = new Topology();
  private final String prefix;

  private App(String prefix) {
    this.prefix = prefix;
  }

  private void stage(String name, String input, ProcessorSupplier<byte[], byte[], byte[], byte[]> supplier) {
    topology.addSource(name + "-in", new ByteArrayDeserializer(), new ByteArrayDeserializer(), prefix + input);
    topology.addProcessor(name, supplier, name + "-in");
  }

  /** The record cache pays where a key comes again within a commit interval, and costs where it does not. */
  private void store(String name, String stage, boolean cached) {
    StoreBuilder<KeyValueStore<byte[], byte[]>> store =
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.ByteArray(), Serdes.ByteArray()).withLoggingEnabled(Map.of());
    topology.addStateStore(cached ? store.withCachingEnabled() : store.withCachingDisabled(), stage);
  }

  private void sink(String name, String topic, String... stages) {
    topology.addSink(name, prefix + topic, new ByteArraySerializer(), new ByteArraySerializer(), stages);
  }

  private void stockCheck() {
    stage("stock-check", "stock-requests", StockCheck::new);
    store("items", "stock-check", true);
    store("holds", "stock-check", false);
  }

  private void pipeline() {
    stage("reserve-requested", "reservation-commands", Entrance::new);
    stockCheck();
    stage("payment", "payment-requests", Payment::new);
    store("ledger", "payment", true);
    stage("approved-failed", "payment-results", ApprovedFailed::new);
    stage("deadline", "deadlines", DeadlineStage::new);
    store("deadlines", "deadline", true);
    store("due", "deadline", true);
    stage("history", "reservation-events", History::new);
    store("reservations", "history", true);
    sink("to-ledger", "payment-requests", "reserve-requested", "stock-check");
    sink("to-stock", "stock-requests", "reserve-requested", "approved-failed");
    sink("to-events", "reservation-events", "reserve-requested", "approved-failed");
    sink("to-deadlines", "deadlines", "payment");
    sink("to-results", "payment-results", "payment");
    sink("to-outcomes", "reservation-outcomes", "approved-failed");
  }

  private static Properties properties(String[] arguments) {
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[2] + "streams");
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[1]);
    p.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments.length > 4 ? arguments[4] : "1");
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    p.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
    p.put(StreamsConfig.producerPrefix("batch.size"), 65536);
    p.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    for (int i = 5; i < arguments.length; i++) {
      String[] pair = arguments[i].split("=", 2);
      p.put(pair[0], pair[1]);
    }
    return p;
  }

  public static void main(String[] arguments) throws Exception {
    System.setProperty("org.apache.avro.specific.use_custom_coders", "true");
    App app = new App(arguments[2]);
    if (arguments[0].equals("pipeline")) {
      app.pipeline();
    } else {
      app.stockCheck();
      app.sink("to-ledger", "payment-requests", "stock-check");
    }
    KafkaStreams streams = new KafkaStreams(app.topology, properties(arguments));
    CountDownLatch stopped = new CountDownLatch(1);
    streams.setStateListener((now, before) -> {
      System.out.println(System.currentTimeMillis() + " " + before + " -> " + now);
      if (now == KafkaStreams.State.ERROR) stopped.countDown();
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
    streams.start();
    stopped.await();
    System.exit(1);
  }
}
