#include "mutants.h"

#include <string.h>

#include "runtime/base/mutant.h"

static const struct mutant mutants[] = {
    /* the commit protocol */
    {"offsets-before-state", "offsets are committed before anything is decided"},
    {"state-before-commit", "rows are changed with the intent, before the commit"},
    {"timer-without-offsets", "a transaction that a timer caused carries no offsets"},
    {"no-rewind-after-abort", "after an abort the partitions are not read again"},
    {"unknown-taken-as-aborted", "an unknown outcome of a commit is guessed to be an abort"},
    {"init-after-join", "the group is joined before the slot's open transaction is ended"},
    {"read-again-after-seek", "a record that a seek brings again is taken again"},
    {"changelog-outside-transaction", "the changelog is written outside of the transaction"},
    {"tombstone-forgotten", "a deleted row is not deleted in the changelog"},
    {"generation-not-checked", "offsets of an old generation of the group are taken"},
    {"own-writes-unseen", "a decision does not see what its own batch has written"},
    {"due-index-trusted", "the index of due rows is believed without looking at the row"},
    {"calls-before-commit", "the provider is called before the row that says so is committed"},
    {"late-delivery-ignored", "the deliveries of the changelog are not waited for"},
    {"failed-delivery-ignored", "a record that was not delivered does not stop the commit"},
    {"abort-error-ignored", "a transaction that could not be aborted is taken for aborted"},
    {"seek-error-ignored", "a partition that could not be rewound is read on"},
    {"store-error-ignored", "a write that the disk refused is taken for done"},
    {"read-error-taken-for-no-row", "a read that the disk refused is taken for no row"},
    {"acknowledged-below-c-accepted",
     "a record of the changelog that lands at C or before it is taken for the next"},
    /* recovery */
    {"promoted-once-passed", "an intent is promoted when the committed offset has passed it"},
    {"metadata-not-checked", "an intent at the committed offset is promoted whatever its id"},
    {"committed-intent-dropped", "an intent that counts is dropped, and its offset believed"},
    {"offset-alone-is-current",
     "a store at the committed offset is current wherever it is in its changelog"},
    {"any-store-is-current", "a store is taken as it is"},
    {"caught-up-to-the-stable-end", "the changelog is read to the last stable offset only"},
    {"unstable-offset", "a committed offset is believed while a transaction on it is pending"},
    {"rebuilt-without-wiping", "a rebuild keeps the old rows"},
    {"old-store-not-rebuilt", "a store older than the changelog's tombstones catches up"},
    {"restore-may-take-for-ever", "a restore goes on that takes longer than tombstones are kept"},
    {"position-past-c", "a store keeps a changelog position past what it has been told to read"},
    {"epoch-not-checked", "a store of before a reset is believed"},
    {"dead-letter-whole", "a dead letter is as long as the record that was sent"},
    /* decisions */
    {"hold-released-twice", "a hold that has ended gives its units back again"},
    {"hold-named-by-reservation", "a hold is named by item and reservation, not by content"},
    {"refused-hold-tried-again", "a repeated Reserve after SOLD_OUT may hold"},
    {"sold-units-forgotten", "sold units count as available"},
    {"seats-not-freed", "a released hold keeps its seats"},
    {"receipt-counted-twice", "a receipt that comes again counts again"},
    {"cancel-races-charge", "a cancel does not wait for the charge that is out"},
    {"expiry-races-charge", "the end of a hold does not wait for the charge that is out"},
    {"refund-forgotten", "a cancel during the charge is forgotten when it is approved"},
    {"decline-approves", "a declined charge approves"},
    {"stray-hold-kept", "a hold that comes too late is not given back"},
    {"reused-id-not-told", "another Reserve under a used id is dropped without a word"},
    {"unknown-charge-given-up",
     "a call that was not made settles an earlier one that may have been"},
    {"view-ignores-revisions", "the history takes every event as the newest"},
    {"id-stays-taken", "an id of long ago is taken for its old reservation until its row has gone"},
    {"charge-key-of-the-id-alone", "an id that is used again meets the answer to its old charge"},
    {"resend-taken-for-not-made", "the answer to a resend is taken for that of the call"},
    {"silence-taken-for-not-made", "a call without an answer is taken for one that was not made"},
    {"early-pay-forgotten", "a Pay that comes before its hold is not remembered"},
    {"repeated-command-taken", "a command that a reset brings again is decided again"},
    {"place-compared-by-offset",
     "a command is known by its offset alone, whatever its partition and its time"},
    {"repeated-request-charged", "a request of a charge that a reset brings again charges"},
    {"rows-go-at-once", "settled rows are forgotten before their window is over"},
    {"one-step-is-believed", "an opening that is years ahead moves the time at once"},
    {"settled-row-stays", "some settled rows are not put among those that leave"},
    {"tally-counts-repeats", "a tally counts an outcome that is said again"},
    {"tally-keeps-cancelled", "a tally does not take back cancelled sales"},
    {"notice-repeated", "a step that a reset says again is told again"},
    {"notices-overtake", "a notice does not wait for the one before it"},
    {"refusal-not-told", "the sender of a refused command does not hear of it"},
    {"refusal-repeated", "a refusal that a reset says again is told again"},
    {"notice-id-shared", "a notice's idempotency key names reservation and step alone"},
    {"dead-letter-swallowed", "a command that cannot be read goes nowhere"},
    {"misplaced-command-taken", "a command is taken from whatever partition it lies in"},
};

static const struct mutant *selected;

int mutant_count(void) {
  return sizeof mutants / sizeof *mutants;
}

const struct mutant *mutant_at(int index) {
  return &mutants[index];
}

bool mutant_select(const char *name) {
  for (int i = 0; i < mutant_count(); i++) {
    if (strcmp(mutants[i].name, name) == 0) selected = &mutants[i];
  }
  return selected && strcmp(selected->name, name) == 0;
}

const char *mutant_name(void) {
  return selected ? selected->name : NULL;
}

bool mutant_runs(const char *name) {
  return selected && strcmp(selected->name, name) == 0;
}
