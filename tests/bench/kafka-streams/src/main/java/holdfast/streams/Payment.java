package holdfast.streams;

import holdfast.*;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueStore;

/** The ledger, for items without a payment: opened, held, approved; refused where there is no stock. */
final class Payment extends Stage {
  private static final long WATCHDOG_MS = 24 * 3600 * 1000L;
  private KeyValueStore<byte[], byte[]> rows;

  Payment() {
    super("payment", OpenReservation.class, StockHeld.class, StockRefused.class, StatusChanged.class, SetDeadline.class, ClearDeadlines.class, Ledger.class);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    super.init(context);
    rows = context.getStateStore("ledger");
  }

  @Override
  void decide(SpecificRecordBase value) {
    if (value instanceof OpenReservation open) open(open);
    else if (value instanceof StockHeld held) held(held);
    else refused((StockRefused) value);
  }

  private void open(OpenReservation o) {
    byte[] key = Codec.bytes(o.reservation_id);
    if (rows.get(key) != null) return;
    Ledger row = new Ledger(o.customer_id, o.item_id, o.content_hash, o.quantity, o.seats, o.option, o.amount, "", 0, LedgerState.REQUESTED, Reason.NONE, 0,
        false, 0, time(), -1L, 0, 0L, 0L, -1, 0L, 0L, "");
    rows.put(key, codec.encode(row));
    emit("to-deadlines", o.reservation_id, new SetDeadline(o.reservation_id, DeadlineKind.WATCHDOG, time() + WATCHDOG_MS));
  }

  private Ledger waiting(byte[] key, long hash) {
    byte[] known = rows.get(key);
    Ledger row = known == null ? null : (Ledger) codec.decode(known);
    return row != null && row.state == LedgerState.REQUESTED && row.content_hash == hash ? row : null;
  }

  private void say(CharSequence id, Ledger row, Status status, Reason reason, HoldEffect effect) {
    emit("to-results", id, new StatusChanged(id, row.customer_id, row.item_id, row.content_hash, ++row.revision, status, reason, row.quantity, row.seats,
        row.option, row.amount, row.screen, 0L, PaymentDue.NONE, effect, row.opened_at));
  }

  private void end(CharSequence id, byte[] key, Ledger row, LedgerState state, Status status, Reason reason, HoldEffect effect) {
    row.state = state;
    row.reason = reason;
    row.settled_at = time();
    say(id, row, status, reason, effect);
    emit("to-deadlines", id, new ClearDeadlines(id));
    rows.put(key, codec.encode(row));
  }

  private void held(StockHeld held) {
    byte[] key = Codec.bytes(held.reservation_id);
    Ledger row = waiting(key, held.content_hash);
    if (row == null) return;
    row.amount = held.amount;
    row.screen = held.screen;
    row.hold_seconds = held.hold_seconds;
    say(held.reservation_id, row, Status.HELD, Reason.NONE, HoldEffect.KEEP);
    end(held.reservation_id, key, row, LedgerState.APPROVED, Status.APPROVED, Reason.NONE, HoldEffect.CONFIRM);
  }

  private void refused(StockRefused refused) {
    byte[] key = Codec.bytes(refused.reservation_id);
    Ledger row = waiting(key, refused.content_hash);
    if (row != null) end(refused.reservation_id, key, row, LedgerState.FAILED, Status.FAILED, refused.reason, HoldEffect.KEEP);
  }
}
