package holdfast.streams;

import holdfast.*;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueStore;

/** What a customer reads: each reservation with every step of it. */
final class History extends Stage {
  private KeyValueStore<byte[], byte[]> views;

  History() {
    super("history", StatusChanged.class, ReservationView.class);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    super.init(context);
    views = context.getStateStore("reservations");
  }

  @Override
  void decide(SpecificRecordBase value) {
    StatusChanged s = (StatusChanged) value;
    byte[] key = Codec.key(0, s.customer_id, s.reservation_id), known = views.get(key);
    ReservationView before = known == null ? null : (ReservationView) codec.decode(known);
    if (before != null && s.revision <= before.revision) return;
    List<TimelineStep> steps = before == null ? new ArrayList<>() : new ArrayList<>(before.timeline);
    steps.add(new TimelineStep(s.revision, s.status, s.reason, time(), s.until, s.payment));
    boolean ended = s.status == Status.APPROVED || s.status == Status.FAILED || s.status == Status.CANCELLED;
    views.put(key, codec.encode(new ReservationView(s.reservation_id, s.customer_id, s.item_id, s.content_hash, s.status, s.reason, s.revision, s.quantity,
        s.seats, s.option, s.amount, s.screen, false, false, 0, ended ? time() : 0L, steps)));
  }
}
