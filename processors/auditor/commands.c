/* Commands, one by one: as sent, as judged by the entrance, as given to the ledger, and as told to
 * the sender. Each is known by its place and the broker's time: if the topic was made again, the
 * same place holds another command. */
#include <stddef.h>
#include <xxhash.h>

#include "auditor/internal.h"
#include "runtime/contract/expiry.h"

static struct str number_part(char *out, uint64_t number, size_t size) {
  for (size_t i = 0; i < size; i++) out[i] = (char)(number >> 8 * (size - 1 - i));
  return (struct str){out, size};
}

/* In the order of the log: a reader of effects in their order finds the rows side by side. At one
 * place the latest command is first: it was sent there after the topic was made again. */
static struct str command_key_of(struct auditor *auditor, int64_t partition, int64_t offset,
                                 int64_t time) {
  char bytes[3][8];
  struct str parts[] = {number_part(bytes[0], (uint64_t)partition, 4),
                        number_part(bytes[1], (uint64_t)offset, 8),
                        number_part(bytes[2], ~(uint64_t)time, 8)};
  return audit_key(auditor, ROW_COMMAND, parts, 3);
}

/* A record without a value says nothing of its time to who reads it later: one that could not be
 * fetched has none, and its dead letter that of the entrance. Neither is there a refusal of it. */
static int64_t time_of(const struct message *record) {
  return record->value.data ? record->timestamp : 0;
}

/* A row that is missing is made with the place. False: there was none. */
static bool load(struct auditor *auditor, struct str key, int64_t partition, int64_t offset,
                 int64_t time, struct command_facts *command) {
  if (audit_load(auditor, key, command, sizeof *command)) return true;
  *command = (struct command_facts){
      .partition = (int32_t)partition, .offset = offset, .time = time, .type = -1};
  return false;
}

static void save(struct auditor *auditor, struct str key, const struct command_facts *command) {
  audit_save(auditor, key, command, offsetof(struct command_facts, id) + command->id_size);
}

static uint64_t hash_of(struct str text) {
  return XXH3_64bits(text.data, text.size);
}

static bool printable(struct str text) {
  for (size_t i = 0; i < text.size; i++) {
    if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f) return false;
  }
  return true;
}

static void name(struct command_facts *command, int type, struct str reservation,
                 struct str customer) {
  command->type = type;
  command->sender = hash_of(customer);
  command->has_sender = customer.size && customer.size <= AUDIT_ID_MAX && printable(customer);
  if (reservation.size > RESERVATION_MAX) return;
  command->id_size = (uint8_t)reservation.size;
  if (reservation.size) memcpy(command->id, reservation.data, reservation.size);
}

/* ---- taking down ---- */

void audit_command_sent(struct auditor *auditor, const struct audit_event *event, bool readable) {
  const struct message *record = event->record;
  struct str key = command_key_of(auditor, event->partition, record->offset, time_of(record));
  struct command_facts command;
  load(auditor, key, event->partition, record->offset, time_of(record), &command);
  command.sent = true;
  if (readable)
    name(&command, event->value.type, audit_text(auditor, event->value, STR("reservation_id")),
         audit_text(auditor, event->value, STR("customer_id")));
  save(auditor, key, &command);
}

void audit_command_effect(struct auditor *auditor, const struct audit_event *event,
                          int64_t partition, int64_t offset) {
  struct command_facts command;
  struct str key = command_key_of(auditor, partition, offset, time_of(event->record));
  load(auditor, key, partition, offset, time_of(event->record), &command);
  if (command.effects < UINT8_MAX) command.effects++;
  command.dead |= event->topic == AUDIT_DEAD_LETTERS;
  save(auditor, key, &command);
}

static enum command_standing standing_of(const struct facts *facts, const struct record *value,
                                         uint64_t customer) {
  if (value->type == RECORD_OPEN_RESERVATION) {
    const struct open_reservation *open = value->value;
    return facts->opens == 1                           ? STANDING_OPENS
           : open->content_hash == facts->content_hash ? STANDING_OPENS_AGAIN
                                                       : STANDING_OPENS_OTHER;
  }
  if (!facts->opened) return STANDING_BEFORE;
  return facts->customer == customer ? STANDING_OWN : STANDING_STRANGER;
}

static void remember_opening(struct facts *facts, const struct command_facts *command) {
  facts->opening_partition = command->partition;
  facts->opening_offset = command->offset;
  facts->opening_time = command->time;
}

void audit_command_given(struct auditor *auditor, const struct audit_event *event,
                         struct facts *facts) {
  const struct message *record = event->record;
  int type = event->value.type == RECORD_OPEN_RESERVATION ? RECORD_RESERVE : event->value.type;
  struct str reservation = audit_text(auditor, event->value, STR("reservation_id")),
             customer = audit_text(auditor, event->value, STR("customer_id"));
  int64_t partition, offset;
  if (!audit_parse_causation(record->causation, &partition, &offset)) return;
  struct command_facts command;
  struct str key = command_key_of(auditor, partition, offset, record->timestamp);
  load(auditor, key, partition, offset, record->timestamp, &command);
  if (command.standing) return; /* the entrance was reset, and read it again */
  bool same = command.type == type && command.sender == hash_of(customer) &&
              str_equal((struct str){command.id, command.id_size}, audit_id_of(reservation));
  if (command.sent && !same)
    audit_report(auditor, RULE_COMMAND_LOST, reservation, event,
                 "the command at %.*s was forwarded as another", STR_ARGS(record->causation));
  name(&command, type, reservation, customer);
  command.standing = standing_of(facts, &event->value, command.sender);
  if (command.standing == STANDING_OPENS) remember_opening(facts, &command);
  if (command.standing == STANDING_OWN && type == RECORD_PAY) facts->own_pays++;
  save(auditor, key, &command);
}

/* The row of the command that a refusal names. False: it names none, as in earlier versions. */
static bool load_named(struct auditor *auditor, const struct audit_event *event, struct str *key,
                       struct command_facts *command) {
  const struct command_refused *refused = event->value.value;
  int64_t partition, offset, time = event->record->timestamp;
  if (!str_starts_with(refused->place, STR("reservation-commands-")) ||
      !place_parse(refused->place, &partition, &offset))
    return false;
  *key = command_key_of(auditor, partition, offset, time);
  return load(auditor, *key, partition, offset, time, command);
}

void audit_command_refused(struct auditor *auditor, const struct audit_event *event,
                           struct facts *facts) {
  const struct command_refused *refused = event->value.value;
  struct command_facts command;
  struct str key;
  if (!load_named(auditor, event, &key, &command)) {
    facts->unnamed_refusals++;
    return;
  }
  command.refusals |= (uint16_t)(1 << refused->refusal);
  command.status = facts->status;
  save(auditor, key, &command);
}

/* False: nobody knows which command it speaks of. */
bool audit_command_told(struct auditor *auditor, const struct audit_event *event) {
  struct command_facts command;
  struct str key;
  if (!load_named(auditor, event, &key, &command)) return false;
  command.told = true;
  save(auditor, key, &command);
  return true;
}

/* ---- judging ---- */

static bool has_refusal(const struct command_facts *command, enum refusal refusal) {
  return command->refusals >> refusal & 1;
}

static bool stands_cancelled(const struct facts *facts) {
  return facts->status == STATUS_CANCELLED || facts->status == STATUS_REFUNDING ||
         facts->charges_asked > facts->charges_answered;
}

static const char *wrong_cancel(const struct facts *facts, const struct command_facts *command) {
  if (!command->refusals)
    return stands_cancelled(facts) ? NULL
                                   : "its customer cancelled it, and it was neither cancelled nor "
                                     "refused";
  if (has_refusal(command, REFUSAL_ALREADY_ENDED) && command->status == STATUS_FAILED) return NULL;
  return "its customer's Cancel was refused, and it could have been cancelled";
}

static bool is_due(const struct facts *facts) {
  return facts->by_customer && facts->payable;
}

static const char *wrong_pay(const struct facts *facts, const struct command_facts *command) {
  bool charged = facts->charges_asked > 0;
  if (!command->refusals && !facts->held) return NULL; /* there was nothing to pay for yet */
  if (!command->refusals && is_due(facts))
    return charged ? NULL : "its customer paid, and it was neither charged nor refused";
  if (!command->refusals) return "its customer paid what was not due, and was not refused";
  if (has_refusal(command, REFUSAL_ALREADY_PAID) && (charged || facts->own_pays > 1)) return NULL;
  if (has_refusal(command, REFUSAL_NOT_DUE) && !is_due(facts)) return NULL;
  if (has_refusal(command, REFUSAL_ALREADY_ENDED) &&
      (command->status == STATUS_FAILED || command->status == STATUS_CANCELLED ||
       command->status == STATUS_REFUNDING))
    return NULL;
  return "its customer's Pay was refused, and was due";
}

/* It was refused because the ledger had it before its Reserve, which lies before it: offsets say so
 * within a partition, times between two. A clock that was set back, or a topic that was made again,
 * leave one of them. */
static bool overtook(const struct facts *facts, const struct command_facts *command) {
  bool other = command->partition != facts->opening_partition;
  return facts->opened && command->sender == facts->customer &&
         command->time > facts->opening_time && (other || command->offset > facts->opening_offset);
}

static const char *wrong_unknown(const struct facts *facts, const struct command_facts *command) {
  if (!has_refusal(command, REFUSAL_UNKNOWN_RESERVATION))
    return "a command about another's reservation, or none, was not refused";
  if (command->standing == STANDING_BEFORE && overtook(facts, command))
    return "its customer's command was decided before its Reserve, which was sent before it";
  return NULL;
}

static const char *wrong_at_the_ledger(const struct facts *facts,
                                       const struct command_facts *command) {
  /* The ledger has forgotten a reservation that settled a window ago: any answer of it is right. */
  if (facts->settled_at && command->time > facts->settled_at + EXPIRY_WINDOW_MS) return NULL;
  /* It may be the one that a refusal without a place means. */
  if (command->standing && !command->refusals && facts->unnamed_refusals) return NULL;
  bool never_was = facts->too_old && facts->revision == 0;
  switch ((enum command_standing)command->standing) {
    case STANDING_NONE: return "it was forwarded, and the ledger was never given it";
    case STANDING_OPENS:
    case STANDING_OPENS_AGAIN: return NULL;
    case STANDING_OPENS_OTHER:
      return has_refusal(command, REFUSAL_ID_REUSED) || has_refusal(command, REFUSAL_TOO_OLD)
                 ? NULL
                 : "another Reserve came under its id, and was not refused";
    case STANDING_OWN:
      if (never_was) return wrong_unknown(facts, command);
      return command->type == RECORD_PAY ? wrong_pay(facts, command) : wrong_cancel(facts, command);
    case STANDING_BEFORE:
    case STANDING_STRANGER: return wrong_unknown(facts, command);
  }
  return NULL;
}

static bool goes_to_the_ledger(int type) {
  return type == RECORD_RESERVE || type == RECORD_PAY || type == RECORD_CANCEL;
}

static const char *wrong_at_the_entrance(const struct auditor *auditor, const struct facts *facts,
                                         const struct command_facts *command, bool gone) {
  bool read = command->offset < auditor->partitions[AUDIT_COMMANDS][command->partition].position;
  if (command->sent && !command->effects)
    return "a command was read and neither forwarded nor refused";
  if (!auditor->was_reset && !command->sent && read && !gone)
    return "a command was forwarded that nobody sent";
  if (!auditor->was_reset && command->effects > 1)
    return "a command was forwarded or refused more than once";
  if (command->sent && command->dead && command->has_sender && !command->told &&
      !facts->unnamed_refusals)
    return "a command was refused at the entrance, and its sender was not told";
  return NULL;
}

const char *audit_command_wrong(const struct auditor *auditor, const struct facts *facts,
                                const struct command_facts *command, bool gone,
                                enum audit_rule *rule) {
  const char *wrong = wrong_at_the_entrance(auditor, facts, command, gone);
  *rule = RULE_COMMAND_LOST;
  bool given = command->standing || (command->sent && command->effects && !command->dead);
  if (wrong || !goes_to_the_ledger(command->type) || !given || facts->moving == auditor->round)
    return wrong;
  *rule = RULE_COMMAND_FORGOTTEN;
  wrong = wrong_at_the_ledger(facts, command);
  if (wrong || !command->refusals || command->told || facts->unnamed_refusals) return wrong;
  *rule = RULE_NOT_TOLD;
  return "a command was refused, and its sender was not told";
}
