/* The texts for customers, in their language: a template for each status, and one for a command
 * that was refused. {name} {item} {quantity} {reservation} {command} {reason} are filled in. */
#include <stdio.h>

#include "notify.h"

struct texts {
  const char *language;
  const char *statuses[STATUS_COUNT];
  const char *reasons[REASON_COUNT];
  const char *refused; /* of a command, with one of these */
  const char *refusals[REFUSAL_COUNT];
};

static const struct texts all_texts[] = {
    {.language = "en",
     .statuses = {[STATUS_REQUESTED] = "{name}, we have your request for {quantity} of {item} "
                                       "({reservation}).",
                  [STATUS_HELD] = "{name}, {quantity} of {item} are held for you ({reservation}).",
                  [STATUS_PAYMENT_DEFERRED] = "{name}, your payment for {item} takes a little "
                                              "longer: we try again by ourselves ({reservation}).",
                  [STATUS_APPROVED] = "{name}, {quantity} of {item} are yours ({reservation}).",
                  [STATUS_REFUNDING] = "{name}, we are giving back your money for {item} "
                                       "({reservation}).",
                  [STATUS_CANCELLED] = "{name}, your reservation of {item} is cancelled "
                                       "({reservation}).",
                  [STATUS_FAILED] = "{name}, your reservation of {item} failed: {reason} "
                                    "({reservation})."},
     .reasons = {[REASON_NONE] = "no reason was given",
                 [REASON_SOLD_OUT] = "it is sold out",
                 [REASON_SEAT_TAKEN] = "a seat is taken",
                 [REASON_UNKNOWN_ITEM] = "we do not sell this",
                 [REASON_UNKNOWN_SEAT] = "there is no such seat",
                 [REASON_UNKNOWN_OPTION] = "there is no such option",
                 [REASON_CLOSED] = "the sale has ended",
                 [REASON_OVER_LIMIT] = "it is more than one may reserve",
                 [REASON_DECLINED] = "the payment was declined",
                 [REASON_EXPIRED] = "it was not paid in time",
                 [REASON_NOT_ADJACENT] = "there are not so many seats beside each other",
                 [REASON_TOO_OLD] = "it came too late"},
     .refused = "{name}, your {command} ({reservation}) was refused: {reason}.",
     .refusals = {[REFUSAL_INVALID] = "it is not valid",
                  [REFUSAL_ID_REUSED] = "this number belongs to another reservation",
                  [REFUSAL_UNKNOWN_RESERVATION] = "you have no such reservation",
                  [REFUSAL_NOT_DUE] = "no payment is due",
                  [REFUSAL_ALREADY_PAID] = "it is paid, or being paid",
                  [REFUSAL_ALREADY_ENDED] = "the reservation has ended",
                  [REFUSAL_ITEM_DIFFERS] = "the item is registered otherwise",
                  [REFUSAL_UNKNOWN_ITEM] = "there is no such item",
                  [REFUSAL_NOT_COUNTED] = "the item has named seats, not counted units",
                  [REFUSAL_OVERFLOW] = "there would be too many units",
                  [REFUSAL_TOO_OLD] = "it came too late"}},
    {.language = "ko",
     .statuses = {[STATUS_REQUESTED] = "{name}님, {item} {quantity}건의 예약 요청을 받았습니다 "
                                       "({reservation}).",
                  [STATUS_HELD] = "{name}님, {item} {quantity}건을 확보했습니다 ({reservation}).",
                  [STATUS_PAYMENT_DEFERRED] = "{name}님, {item} 결제가 지연되고 있습니다. 자동으로 "
                                              "다시 시도합니다 ({reservation}).",
                  [STATUS_APPROVED] = "{name}님, {item} {quantity}건의 예약이 확정되었습니다 "
                                      "({reservation}).",
                  [STATUS_REFUNDING] = "{name}님, {item} 결제를 환불하고 있습니다 ({reservation}).",
                  [STATUS_CANCELLED] = "{name}님, {item} 예약이 취소되었습니다 ({reservation}).",
                  [STATUS_FAILED] = "{name}님, {item} 예약에 실패했습니다: {reason} "
                                    "({reservation})."},
     .reasons = {[REASON_NONE] = "사유가 없습니다",
                 [REASON_SOLD_OUT] = "매진되었습니다",
                 [REASON_SEAT_TAKEN] = "이미 예약된 좌석입니다",
                 [REASON_UNKNOWN_ITEM] = "판매하지 않는 상품입니다",
                 [REASON_UNKNOWN_SEAT] = "없는 좌석입니다",
                 [REASON_UNKNOWN_OPTION] = "없는 선택 항목입니다",
                 [REASON_CLOSED] = "판매가 끝났습니다",
                 [REASON_OVER_LIMIT] = "예약 한도를 넘었습니다",
                 [REASON_DECLINED] = "결제가 거절되었습니다",
                 [REASON_EXPIRED] = "결제 시간이 지났습니다",
                 [REASON_NOT_ADJACENT] = "나란히 앉을 수 있는 좌석이 없습니다",
                 [REASON_TOO_OLD] = "요청이 너무 오래되었습니다"},
     .refused = "{name}님, {command} 요청({reservation})이 거절되었습니다: {reason}.",
     .refusals = {[REFUSAL_INVALID] = "올바르지 않은 요청입니다",
                  [REFUSAL_ID_REUSED] = "이미 사용된 예약 번호입니다",
                  [REFUSAL_UNKNOWN_RESERVATION] = "해당 예약이 없습니다",
                  [REFUSAL_NOT_DUE] = "결제할 금액이 없습니다",
                  [REFUSAL_ALREADY_PAID] = "이미 결제되었거나 결제 중입니다",
                  [REFUSAL_ALREADY_ENDED] = "이미 종료된 예약입니다",
                  [REFUSAL_ITEM_DIFFERS] = "상품이 다르게 등록되어 있습니다",
                  [REFUSAL_UNKNOWN_ITEM] = "없는 상품입니다",
                  [REFUSAL_NOT_COUNTED] = "수량이 아닌 좌석으로 판매하는 상품입니다",
                  [REFUSAL_OVERFLOW] = "수량이 너무 많아집니다",
                  [REFUSAL_TOO_OLD] = "요청이 너무 오래되었습니다"}},
};

static const struct texts *texts_of(struct str language) {
  for (size_t i = 0; i < sizeof all_texts / sizeof *all_texts; i++) {
    if (str_equal(str_of(all_texts[i].language), language)) return &all_texts[i];
  }
  return &all_texts[0];
}

static struct str value_of(const struct texts *texts, const struct notice *notice,
                           struct str name) {
  static _Thread_local char number[16];
  if (str_equal(name, STR("name"))) return notice->name.size ? notice->name : notice->customer_id;
  if (str_equal(name, STR("item"))) return notice->item_id;
  if (str_equal(name, STR("command"))) return notice->command;
  if (str_equal(name, STR("reservation"))) /* a command may be about an item alone */
    return notice->reservation_id.size ? notice->reservation_id : notice->item_id;
  if (str_equal(name, STR("reason")))
    return str_of(notice->command.size ? texts->refusals[notice->refusal]
                                       : texts->reasons[notice->reason]);
  snprintf(number, sizeof number, "%d", (int)notice->quantity);
  return str_of(number);
}

void notice_text(const struct notice *notice, char *text, size_t size) {
  const struct texts *texts = texts_of(notice->language);
  size_t used = 0;
  const char *at = notice->command.size ? texts->refused : texts->statuses[notice->status];
  for (; *at && used + 1 < size; at++) {
    if (*at != '{') {
      text[used++] = *at;
      continue;
    }
    const char *end = strchr(at, '}');
    struct str value = value_of(texts, notice, (struct str){at + 1, (size_t)(end - at - 1)});
    size_t room = size - 1 - used, bytes = value.size < room ? value.size : room;
    if (bytes) memcpy(text + used, value.data, bytes);
    used += bytes;
    at = end;
  }
  text[used] = '\0';
}
