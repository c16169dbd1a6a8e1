package holdfast.streams;

import holdfast.*;
import org.apache.avro.specific.SpecificRecordBase;

/** What the ledger decided, told to everyone concerned. */
final class ApprovedFailed extends Stage {
  ApprovedFailed() {
    super("approved-failed", StatusChanged.class, ConfirmHold.class, ReservationOutcome.class);
  }

  @Override
  void decide(SpecificRecordBase value) {
    StatusChanged s = (StatusChanged) value;
    emit("to-events", s.customer_id, s);
    if (s.hold == HoldEffect.CONFIRM) emit("to-stock", s.item_id, new ConfirmHold(s.reservation_id, s.item_id, s.content_hash));
    if (s.status == Status.APPROVED || s.status == Status.FAILED || s.status == Status.CANCELLED)
      emit("to-outcomes", s.item_id, new ReservationOutcome(s.reservation_id, s.customer_id, s.item_id, s.revision, s.status, s.reason, s.quantity, s.seats,
          s.option, s.amount, s.screen, s.opened_at));
  }
}
