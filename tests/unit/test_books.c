/* The provider's books against the ledger: each row of the table is one charge key, as it was asked
 * for, heard of and written into the books, and names the rule that must say so. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auditor/internal.h"
#include "holdfast/audit_provider.h"
#include "../lib/harness.h"
#include "runtime/store/store.h"

#define NOBODY (-1)
#define T0 INT64_C(1000000)

enum heard { NOTHING, APPROVED, DECLINED, DEFERRED };
enum book { ABSENT, BOOK_APPROVED, BOOK_DECLINED };

static const struct row {
  const char *name;
  enum charge_kind kind;
  bool asked, unread; /* unread: charge has not come to the request */
  enum heard heard;
  enum status status; /* of the reservation */
  enum book book;
  int64_t book_amount; /* 5 was asked for */
  int rule;            /* NOBODY: none */
} rows[] = {
    {"delivered", CHARGE_KIND_CHARGE, true, false, APPROVED, STATUS_APPROVED, BOOK_APPROVED, 5,
     NOBODY},
    {"declined", CHARGE_KIND_CHARGE, true, false, DECLINED, STATUS_FAILED, BOOK_DECLINED, 5,
     NOBODY},
    {"never made", CHARGE_KIND_CHARGE, true, false, DEFERRED, STATUS_FAILED, ABSENT, 0, NOBODY},
    {"given back", CHARGE_KIND_REFUND, true, false, APPROVED, STATUS_CANCELLED, BOOK_APPROVED, 5,
     NOBODY},
    {"no answer has been read", CHARGE_KIND_CHARGE, true, false, NOTHING, STATUS_HELD,
     BOOK_APPROVED, 5, NOBODY},
    {"nothing was called yet", CHARGE_KIND_CHARGE, true, false, NOTHING, STATUS_HELD, ABSENT, 0,
     NOBODY},
    {"asked for after the topics were read", CHARGE_KIND_CHARGE, true, true, NOTHING, STATUS_HELD,
     BOOK_APPROVED, 5, NOBODY},
    {"taken, and the ledger heard that it was not", CHARGE_KIND_CHARGE, true, false, DEFERRED,
     STATUS_FAILED, BOOK_APPROVED, 5, RULE_BOOKS_UNDELIVERED},
    {"taken, and cancelled as if it was not", CHARGE_KIND_CHARGE, true, false, DEFERRED,
     STATUS_CANCELLED, BOOK_APPROVED, 5, RULE_BOOKS_UNDELIVERED},
    {"taken, and the ledger heard that it was declined", CHARGE_KIND_CHARGE, true, false, DECLINED,
     STATUS_FAILED, BOOK_APPROVED, 5, RULE_BOOKS_UNDELIVERED},
    {"given back, and the ledger heard that it was declined", CHARGE_KIND_REFUND, true, false,
     DECLINED, STATUS_REFUNDING, BOOK_APPROVED, 5, RULE_BOOKS_UNDELIVERED},
    {"delivered, and not in the books", CHARGE_KIND_CHARGE, true, false, APPROVED, STATUS_APPROVED,
     ABSENT, 0, RULE_BOOKS_UNCHARGED},
    {"delivered, and declined in the books", CHARGE_KIND_CHARGE, true, false, APPROVED,
     STATUS_APPROVED, BOOK_DECLINED, 5, RULE_BOOKS_UNCHARGED},
    {"a refund that is not in the books", CHARGE_KIND_REFUND, true, false, APPROVED,
     STATUS_CANCELLED, ABSENT, 0, RULE_BOOKS_UNCHARGED},
    {"another amount", CHARGE_KIND_CHARGE, true, false, APPROVED, STATUS_APPROVED, BOOK_APPROVED, 6,
     RULE_BOOKS_AMOUNT},
    {"a charge that nobody asked for", CHARGE_KIND_CHARGE, false, false, NOTHING, STATUS_APPROVED,
     BOOK_APPROVED, 5, RULE_BOOKS_UNASKED},
    {"a refund that nobody asked for", CHARGE_KIND_REFUND, false, false, NOTHING, STATUS_APPROVED,
     BOOK_APPROVED, 5, RULE_BOOKS_UNASKED},
};

struct desk {
  struct auditor *auditor;
  struct store *store;
  struct codec *codec;
  struct arena arena;
  int64_t offset;
  bool broken[AUDIT_RULE_COUNT];
};

static void report(void *user, const struct audit_violation *violation) {
  ((struct desk *)user)->broken[violation->rule] = true;
}

static void open_desk(struct desk *desk) {
  char error[200];
  int code;
  *desk = (struct desk){.codec = codec_new(&holdfast_schemas)};
  desk->store = store_open(NULL, "audit", (struct store_memory){.cache = 1 << 20}, error,
                           sizeof error, &code);
  desk->auditor = auditor_new(desk->store, report, desk);
  auditor_keep_charges(desk->auditor);
  auditor_begin(desk->auditor, T0);
  for (int topic = 0; topic < AUDIT_TOPIC_COUNT; topic++)
    auditor_committed(desk->auditor, (enum audit_topic)topic, 0, 100, 1);
}

static void close_desk(struct desk *desk) {
  auditor_free(desk->auditor);
  store_close(desk->store);
  codec_free(desk->codec);
  arena_free(&desk->arena);
}

static void show(struct desk *desk, enum audit_topic topic, bool unread, int type,
                 const void *value) {
  struct message record = {
      .offset = (unread ? 100 : 0) + desk->offset++,
      .timestamp = T0,
      .key = STR("r"),
      .value = codec_encode(desk->codec, (struct record){type, value}, &desk->arena)};
  if (unread)
    auditor_mark(desk->auditor, topic, 0, &record);
  else
    auditor_read(desk->auditor, topic, 0, &record);
}

#define KEY STR("r/charge")

static void show_row(struct desk *desk, const struct row *row) {
  const struct open_reservation open = {
      .reservation_id = STR("r"), .customer_id = STR("kim"), .item_id = STR("i")};
  show(desk, AUDIT_LEDGER, false, RECORD_OPEN_RESERVATION, &open);
  const struct request_charge request = {.reservation_id = STR("r"),
                                         .customer_id = STR("kim"),
                                         .charge_key = KEY,
                                         .kind = row->kind,
                                         .amount = 5};
  const struct charge_settled settled = {.reservation_id = STR("r"),
                                         .charge_key = KEY,
                                         .kind = row->kind,
                                         .approved = row->heard == APPROVED};
  const struct charge_deferred deferred = {
      .reservation_id = STR("r"), .charge_key = KEY, .kind = row->kind};
  if (row->heard == APPROVED || row->heard == DECLINED)
    show(desk, AUDIT_LEDGER, false, RECORD_CHARGE_SETTLED, &settled);
  if (row->heard == DEFERRED) show(desk, AUDIT_LEDGER, false, RECORD_CHARGE_DEFERRED, &deferred);
  const struct status_changed changed = {.reservation_id = STR("r"),
                                         .customer_id = STR("kim"),
                                         .item_id = STR("i"),
                                         .revision = 1,
                                         .status = row->status};
  show(desk, AUDIT_RESULTS, false, RECORD_STATUS_CHANGED, &changed);
  if (row->asked && !row->unread) show(desk, AUDIT_CHARGES, false, RECORD_REQUEST_CHARGE, &request);
  if (row->book != ABSENT)
    auditor_book(desk->auditor, &(struct audit_book){.key = KEY,
                                                     .refund = row->kind == CHARGE_KIND_REFUND,
                                                     .approved = row->book == BOOK_APPROVED,
                                                     .amount = row->book_amount});
  auditor_books_read(desk->auditor, INT64_MAX);
  if (row->unread) show(desk, AUDIT_CHARGES, true, RECORD_REQUEST_CHARGE, &request);
}

static int judged(struct desk *desk) {
  struct audit_summary summary;
  auditor_judge(desk->auditor, &summary, NULL, NULL);
  int found = NOBODY;
  for (int rule = RULE_BOOKS_UNDELIVERED; rule <= RULE_BOOKS_UNASKED; rule++) {
    if (desk->broken[rule]) found = found == NOBODY ? rule : AUDIT_RULE_COUNT;
  }
  return found;
}

static void what_the_books_and_the_ledger_disagree_about_is_found(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct desk desk;
    open_desk(&desk);
    show_row(&desk, &rows[i]);
    int rule = judged(&desk);
    if (rule != rows[i].rule)
      fail_msg("%s: %s", rows[i].name,
               rule == NOBODY             ? "nothing was found"
               : rule == AUDIT_RULE_COUNT ? "more than one rule"
                                          : audit_rules[rule].name);
    close_desk(&desk);
  }
}

/* An id that is used again after its window is another reservation. */
static void a_key_that_two_openings_ask_under_is_found(void **unused) {
  (void)unused;
  for (int same = 0; same < 2; same++) {
    struct desk desk;
    open_desk(&desk);
    show_row(&desk, &rows[0]);
    for (int opening = 0; opening < 2; opening++) {
      const struct request_charge request = {.reservation_id = STR("r"),
                                             .customer_id = STR("kim"),
                                             .charge_key = KEY,
                                             .kind = CHARGE_KIND_CHARGE,
                                             .amount = 5,
                                             .opened_at = T0 + (same ? 0 : opening)};
      show(&desk, AUDIT_CHARGES, false, RECORD_REQUEST_CHARGE, &request);
    }
    assert_int_equal(judged(&desk), same ? NOBODY : RULE_BOOKS_UNCHARGED);
    close_desk(&desk);
  }
}

static void without_the_books_nothing_is_said_about_them(void **unused) {
  (void)unused;
  struct desk desk;
  open_desk(&desk);
  struct row row = rows[0];
  row.book = ABSENT;
  show_row(&desk, &row);
  auditor_books_read(desk.auditor, 0);
  assert_int_equal(judged(&desk), NOBODY);
  close_desk(&desk);
}

/* ---- a CSV export ---- */

static bool export_is(struct desk *desk, const char *text, struct failure *failure) {
  char path[] = "/tmp/holdfast-books-XXXXXX";
  int file = mkstemp(path);
  assert_true(file >= 0);
  assert_int_equal(write(file, text, strlen(text)), strlen(text));
  close(file);
  struct provider_books books = {.csv = path};
  bool read = provider_books_read(&books, desk->auditor, failure);
  unlink(path);
  return read;
}

static const struct {
  const char *text, *wrong; /* wrong NULL: it is read */
  int64_t entries;
} exports[] = {
    {"key,kind,amount,status\nr/charge,charge,5,approved\n", NULL, 1},
    {"status,\"amount\",kind,note,key\r\napproved,5,charge,\"a, b\",\"r/charge\"\r\n\r\n", NULL, 1},
    {"key,kind,amount,status\n\"a\"\"b,c\",refund,-1,declined\na,charge,0,approved", NULL, 2},
    {"key,kind,amount,status\n", NULL, 0},
    {"", "line 1 has no head", 0},
    {"key,amount,status\nr,5,approved\n", "line 1 has no head that names the columns", 0},
    {"key,kind,amount,status\nr,charge,5\n", "line 2 has fewer fields than the head", 0},
    {"key,kind,amount,status\nr,charge,5.00,approved\n", "line 2 has an amount that is no", 0},
    {"key,kind,amount,status\nr,charge,99999999999999999999,approved\n", "has an amount", 0},
    {"key,kind,amount,status\nr,gift,5,approved\n", "line 2 has a kind but charge and refund", 0},
    {"key,kind,amount,status\n,charge,5,approved\n", "line 2 has an entry without a key", 0},
    {"key,kind,amount,status\nr,charge,5,approved\n\"r,charge,5,approved\n",
     "line 3 has a line that is no CSV", 1},
    {"key,kind,amount,status\n\"r\"x,charge,5,approved\n", "line 2 has a line that is no CSV", 0},
    {"key,kind,amount,status\nr,charge,5,\"approved\"\"\n", "line 2 has a line that is no CSV", 0},
    {"key,kind,amount,status\nr,charge,5,\"\n", "line 2 has a line that is no CSV", 0},
    {"key,kind,amount,status\nr\xff,charge,5,approved\n", "line 2 has bytes that are not UTF-8", 0},
};

static void an_export_is_read_or_refused_with_its_line(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof exports / sizeof *exports; i++) {
    struct desk desk;
    struct failure failure = {0};
    open_desk(&desk);
    bool read = export_is(&desk, exports[i].text, &failure);
    if (read != !exports[i].wrong || (!read && !strstr(failure.text, exports[i].wrong)))
      fail_msg("%s: %s", exports[i].text, read ? "was read" : failure.text);
    assert_int_equal(desk.auditor->summary.books, exports[i].entries);
    close_desk(&desk);
  }
}

/* What a file cannot have in a C string, and what memory is bounded against. */
static void an_export_of_bytes_is_refused_with_its_line(void **unused) {
  (void)unused;
  static const char head[] = "key,kind,amount,status\n";
  static const struct {
    size_t zeros, letters;
    const char *wrong;
  } cases[] = {{1, 5, "a NUL byte"}, {0, 2000, "a key of more than 1 KiB"}, {0, 2 << 20, "1 MiB"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct desk desk;
    open_desk(&desk);
    FILE *file = tmpfile();
    fputs(head, file);
    for (size_t n = 0; n < cases[i].zeros; n++) putc('\0', file);
    for (size_t n = 0; n < cases[i].letters; n++) putc('r', file);
    fputs(",charge,5,approved\n", file);
    rewind(file);
    int64_t number;
    const char *wrong = provider_csv_read(file, desk.auditor, &number);
    if (!wrong || !strstr(wrong, cases[i].wrong)) fail_msg("%s: %s", cases[i].wrong, wrong);
    assert_int_equal(number, 2);
    assert_int_equal(desk.auditor->summary.books, 0);
    fclose(file);
    close_desk(&desk);
  }
}

static void an_export_is_not_asked_for_what_the_ledger_heard_after_it(void **unused) {
  (void)unused;
  static const char *const head = "key,kind,amount,status\n";
  struct desk desk;
  struct failure failure;
  open_desk(&desk);
  struct row row = rows[0];
  row.book = ABSENT;
  show_row(&desk, &row); /* heard of at T0, in 1970 */
  assert_true(export_is(&desk, head, &failure));
  assert_int_equal(judged(&desk), RULE_BOOKS_UNCHARGED); /* the file is of today */
  auditor_books_read(desk.auditor, T0 - 1);
  memset(desk.broken, 0, sizeof desk.broken);
  assert_int_equal(judged(&desk), NOBODY);
  close_desk(&desk);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_the_books_and_the_ledger_disagree_about_is_found),
      cmocka_unit_test(a_key_that_two_openings_ask_under_is_found),
      cmocka_unit_test(without_the_books_nothing_is_said_about_them),
      cmocka_unit_test(an_export_is_read_or_refused_with_its_line),
      cmocka_unit_test(an_export_of_bytes_is_refused_with_its_line),
      cmocka_unit_test(an_export_is_not_asked_for_what_the_ledger_heard_after_it),
  };
  return cmocka_run_group_tests_name("books", tests, NULL, NULL);
}
