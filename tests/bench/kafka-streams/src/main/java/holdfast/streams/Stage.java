package holdfast.streams;

import java.nio.charset.StandardCharsets;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** What every stage has: its input decoded, its outputs encoded with the headers that Holdfast's records carry. */
abstract class Stage implements Processor<byte[], byte[], byte[], byte[]> {
  private final byte[] name;
  final Codec codec;
  ProcessorContext<byte[], byte[]> context;
  private Record<byte[], byte[]> input;
  private byte[] causation;
  private int number;

  Stage(String name, Class<?>... records) {
    this.name = (name + "/").getBytes(StandardCharsets.UTF_8);
    codec = new Codec(records);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
  }

  abstract void decide(SpecificRecordBase value);

  long time() {
    return input.timestamp();
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    SpecificRecordBase value = record.value() == null ? null : codec.decode(record.value());
    if (value == null) throw new IllegalStateException("a record that this stage does not know");
    input = record;
    number = 0;
    RecordMetadata at = context.recordMetadata().orElseThrow();
    causation = (at.topic() + "-" + at.partition() + "-" + at.offset()).getBytes(StandardCharsets.UTF_8);
    decide(value);
  }

  private static byte[] digits(long number) {
    return Long.toString(number).getBytes(StandardCharsets.US_ASCII);
  }

  void emit(String sink, CharSequence key, SpecificRecordBase value) {
    Headers headers = new RecordHeaders();
    Header correlation = input.headers().lastHeader("correlation-id");
    byte[] id = Codec.bytes(key);
    headers.add("correlation-id", correlation == null ? input.key() : correlation.value());
    headers.add("causation", causation);
    byte[] count = digits(number++), source = new byte[name.length + count.length];
    System.arraycopy(name, 0, source, 0, name.length);
    System.arraycopy(count, 0, source, name.length, count.length);
    headers.add("source", source);
    headers.add("produced-at", digits(System.currentTimeMillis()));
    context.forward(new Record<>(id, codec.encode(value), input.timestamp(), headers), sink);
  }
}
