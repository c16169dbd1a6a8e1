package holdfast.streams;

import holdfast.*;
import java.util.List;
import org.apache.avro.specific.SpecificRecordBase;

/** Checks commands and gives them to those concerned. */
final class Entrance extends Stage {
  Entrance() {
    super("reserve-requested", Reserve.class, RegisterItem.class, OpenReservation.class, RequestHold.class, StatusChanged.class);
  }

  /** FNV-1a of the content: what the same id with another content is told by. */
  private static long hash(Reserve reserve) {
    long hash = 0xcbf29ce484222325L;
    for (CharSequence part : List.of(reserve.customer_id, reserve.item_id, reserve.option))
      for (byte b : Codec.bytes(part)) hash = (hash ^ b) * 0x100000001b3L;
    return (hash ^ reserve.quantity) * 0x100000001b3L ^ reserve.amount;
  }

  @Override
  void decide(SpecificRecordBase value) {
    if (value instanceof RegisterItem item) {
      emit("to-stock", item.item_id, item);
      return;
    }
    Reserve r = (Reserve) value;
    long hash = hash(r);
    emit("to-ledger", r.reservation_id, new OpenReservation(r.reservation_id, r.customer_id, r.item_id, hash, r.quantity, r.seats, r.option, r.amount));
    emit("to-stock", r.item_id, new RequestHold(r.reservation_id, r.customer_id, r.item_id, hash, r.quantity, r.seats, r.option, r.amount));
    emit("to-events", r.customer_id, new StatusChanged(r.reservation_id, r.customer_id, r.item_id, hash, 0, Status.REQUESTED, Reason.NONE, r.quantity,
        r.seats, r.option, r.amount, "", 0L, PaymentDue.NONE, HoldEffect.KEEP, time()));
  }
}
