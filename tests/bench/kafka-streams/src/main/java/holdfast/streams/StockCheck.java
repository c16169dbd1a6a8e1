package holdfast.streams;

import holdfast.*;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueStore;

/** Stock: taken at the hold. The store of items is cached, so that its changelog (the table of stock levels) has an item once a commit. */
final class StockCheck extends Stage {
  private KeyValueStore<byte[], byte[]> items, holds;

  StockCheck() {
    super("stock-check", RegisterItem.class, RequestHold.class, ConfirmHold.class, StockHeld.class, StockRefused.class, StockLevel.class, Hold.class);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    super.init(context);
    items = context.getStateStore("items");
    holds = context.getStateStore("holds");
  }

  @Override
  void decide(SpecificRecordBase value) {
    if (value instanceof RequestHold request) hold(request);
    else if (value instanceof ConfirmHold confirm) confirm(confirm);
    else register((RegisterItem) value);
  }

  private void register(RegisterItem command) {
    byte[] key = Codec.bytes(command.item_id);
    if (items.get(key) != null) return;
    List<SeatRowPlan> rows = new ArrayList<>(command.rows);
    StockLevel item = new StockLevel(command.item_id, command.title, command.kind, command.capacity, 0, 0, 0, false, rows, command.max_per_reservation,
        command.price, command.payment, command.hold_seconds, command.options, command.screen);
    items.put(key, codec.encode(item));
  }

  private Reason check(StockLevel item, RequestHold request) {
    if (item == null) return Reason.UNKNOWN_ITEM;
    if (item.closed) return Reason.CLOSED;
    if (request.quantity > item.max_per_reservation) return Reason.OVER_LIMIT;
    return request.quantity > item.capacity - item.held - item.sold ? Reason.SOLD_OUT : Reason.NONE;
  }

  private void hold(RequestHold request) {
    byte[] key = Codec.key(request.content_hash, request.item_id, request.reservation_id);
    if (holds.get(key) != null) return;
    byte[] itemKey = Codec.bytes(request.item_id), known = items.get(itemKey);
    StockLevel item = known == null ? null : (StockLevel) codec.decode(known);
    Reason reason = check(item, request);
    if (reason != Reason.NONE) {
      holds.put(key, codec.encode(new Hold(HoldState.REFUSED, reason, 0, List.of(), time(), time())));
      emit("to-ledger", request.reservation_id, new StockRefused(request.reservation_id, request.item_id, request.content_hash, reason));
      return;
    }
    item.held += request.quantity;
    items.put(itemKey, codec.encode(item));
    holds.put(key, codec.encode(new Hold(HoldState.HELD, Reason.NONE, request.quantity, List.of(), 0L, time())));
    long amount = item.price != 0 ? item.price * request.quantity : request.amount;
    emit("to-ledger", request.reservation_id, new StockHeld(request.reservation_id, request.item_id, request.content_hash, request.quantity, amount,
        item.payment, item.hold_seconds, item.screen, List.of()));
  }

  private void confirm(ConfirmHold confirm) {
    byte[] key = Codec.key(confirm.content_hash, confirm.item_id, confirm.reservation_id), known = holds.get(key);
    if (known == null) return;
    Hold hold = (Hold) codec.decode(known);
    if (hold.state != HoldState.HELD) return;
    byte[] itemKey = Codec.bytes(confirm.item_id);
    StockLevel item = (StockLevel) codec.decode(items.get(itemKey));
    item.held -= hold.quantity;
    item.sold += hold.quantity;
    items.put(itemKey, codec.encode(item));
    hold.state = HoldState.SOLD;
    hold.settled_at = time();
    holds.put(key, codec.encode(hold));
  }
}
