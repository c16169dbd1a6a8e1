#include "runtime/http/tls.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/base/report.h"
#include "runtime/base/worker.h"

#define PEM_SIZE_MAX ((off_t)1 << 20)

const struct option_desc tls_options[] = {
    {.name = "tls-certificate",
     .metavar = "FILE",
     .help = "TLS at --http: a certificate in PEM, and those between it and its root; read again "
             "when it changes, and on SIGHUP"},
    {.name = "tls-key", .metavar = "FILE", .help = "the certificate's key in PEM, likewise"},
    {0},
};

enum { CERTIFICATE, KEY, FILES };
static const char *const names[FILES] = {"tls-certificate", "tls-key"};

/* Never changed, and freed by the last who holds it. */
struct tls_certificate {
  gnutls_certificate_credentials_t credentials;
  time_t until;
  size_t users; /* under the lock */
};

struct tls {
  const char *paths[FILES];  /* of the options */
  struct stat states[FILES]; /* as of the last look: the thread's */
  char told[512];            /* the last warning, so that it is given once: the thread's */
  struct worker worker;
  struct tls_certificate *current; /* under the lock */
  bool asked;                      /* under the lock */
};

/* ---- reading ---- */

static bool unfit(int file, const char *path, const char *why, struct failure *failure) {
  return failure_set(failure, EX_CONFIG, "--%s %s: %s", names[file], path, why);
}

/* Sets *text, which forget frees. */
static bool read_pem(int file, const char *path, gnutls_datum_t *text, struct failure *failure) {
  struct stat state;
  if (stat(path, &state) != 0) return unfit(file, path, strerror(errno), failure);
  if (!S_ISREG(state.st_mode)) return unfit(file, path, "it is no file", failure);
  if (state.st_size > PEM_SIZE_MAX) return unfit(file, path, "it has more than 1 MiB", failure);
  errno = 0;
  int code = gnutls_load_file(path, text);
  if (code == GNUTLS_E_SUCCESS) return true;
  return unfit(file, path, errno ? strerror(errno) : gnutls_strerror(code), failure);
}

static void forget(gnutls_datum_t *text) {
  gnutls_memset(text->data, 0, text->size);
  gnutls_free(text->data);
}

static void certificate_free(struct tls_certificate *certificate) {
  gnutls_certificate_free_credentials(certificate->credentials);
  free(certificate);
}

static bool read_key(const char *path, gnutls_x509_privkey_t *key, struct failure *failure) {
  gnutls_datum_t text = {0};
  if (!read_pem(KEY, path, &text, failure)) return false;
  gnutls_x509_privkey_init(key);
  int code = gnutls_x509_privkey_import2(*key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
  forget(&text);
  if (code == GNUTLS_E_SUCCESS) return true;
  gnutls_x509_privkey_deinit(*key);
  char why[256];
  snprintf(why, sizeof why, "it is no key in PEM without a password: %s", gnutls_strerror(code));
  return unfit(KEY, path, why, failure);
}

struct chain {
  gnutls_x509_crt_t *list;
  unsigned count;
};

static bool read_chain(const char *path, struct chain *chain, struct failure *failure) {
  gnutls_datum_t text = {0};
  if (!read_pem(CERTIFICATE, path, &text, failure)) return false;
  int code =
      gnutls_x509_crt_list_import2(&chain->list, &chain->count, &text, GNUTLS_X509_FMT_PEM, 0);
  forget(&text);
  if (code >= 0) return true;
  char why[256];
  snprintf(why, sizeof why, "it is no certificate in PEM: %s", gnutls_strerror(code));
  return unfit(CERTIFICATE, path, why, failure);
}

static void chain_free(struct chain *chain) {
  for (unsigned i = 0; i < chain->count; i++) gnutls_x509_crt_deinit(chain->list[i]);
  gnutls_free(chain->list);
}

static struct tls_certificate *join(const char *const *paths, const struct chain *chain,
                                    gnutls_x509_privkey_t key, struct failure *failure) {
  struct tls_certificate *made = xcalloc(1, sizeof *made);
  char why[512];
  gnutls_certificate_allocate_credentials(&made->credentials);
  int code =
      gnutls_certificate_set_x509_key(made->credentials, chain->list, (int)chain->count, key);
  made->until = gnutls_x509_crt_get_expiration_time(chain->list[0]);
  if (code >= 0) return made;
  certificate_free(made);
  snprintf(why, sizeof why, "it does not fit --%s %s: %s", names[KEY], paths[KEY],
           gnutls_strerror(code));
  unfit(CERTIFICATE, paths[CERTIFICATE], why, failure);
  return NULL;
}

/* NULL with the failure set. */
static struct tls_certificate *read_files(const char *const *paths, struct failure *failure) {
  struct chain chain = {0};
  gnutls_x509_privkey_t key;
  struct tls_certificate *made = NULL;
  if (!read_chain(paths[CERTIFICATE], &chain, failure)) return NULL;
  if (read_key(paths[KEY], &key, failure)) {
    made = join(paths, &chain, key, failure);
    gnutls_x509_privkey_deinit(key);
  }
  chain_free(&chain);
  return made;
}

static void tell_age(const struct tls *self, time_t until) {
  char day[32];
  struct tm utc;
  strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&until, &utc));
  if (until < time(NULL))
    report_warning("--%s %s: it was valid until %s only, so clients refuse it", names[CERTIFICATE],
                   self->paths[CERTIFICATE], day);
  else
    report_info("TLS with the certificate of %s, valid until %s", self->paths[CERTIFICATE], day);
}

/* ---- the thread ---- */

/* The files are others than at the last look. */
static bool have_changed(struct tls *self) {
  bool changed = false;
  for (int i = 0; i < FILES; i++) {
    struct stat now = {0}, *then = &self->states[i];
    stat(self->paths[i], &now); /* who is away is all zeros */
    changed |= now.st_ino != then->st_ino || now.st_dev != then->st_dev ||
               now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
               now.st_mtim.tv_nsec != then->st_mtim.tv_nsec ||
               now.st_ctim.tv_sec != then->st_ctim.tv_sec ||
               now.st_ctim.tv_nsec != then->st_ctim.tv_nsec;
    *then = now;
  }
  return changed;
}

/* Of two files that are being replaced one may still be the old one: after a reading in vain the
 * next look reads again, whatever the times say. */
static void look(struct tls *self, bool asked) {
  struct failure failure;
  if (!have_changed(self) && !asked && !*self->told) return;
  struct tls_certificate *made = read_files(self->paths, &failure);
  if (!made) {
    if (asked || strcmp(failure.text, self->told) != 0)
      report_warning("%s; the old certificate stays", failure.text);
    snprintf(self->told, sizeof self->told, "%s", failure.text);
    return;
  }
  *self->told = '\0';
  made->users = 1;
  worker_lock(&self->worker);
  struct tls_certificate *old = self->current;
  self->current = made;
  worker_unlock(&self->worker);
  tell_age(self, made->until);
  tls_give(self, old);
}

static void wait_a_while(struct tls *self) {
  int64_t until = clock_monotonic_ms() + TLS_LOOK_MS;
  while (!self->asked && !self->worker.ending && worker_wait(&self->worker, until)) {
  }
}

static void *watch(void *user) {
  struct tls *self = user;
  worker_lock(&self->worker);
  while (!self->worker.ending) {
    wait_a_while(self);
    bool asked = self->asked;
    self->asked = false;
    worker_unlock(&self->worker);
    look(self, asked);
    worker_lock(&self->worker);
  }
  worker_unlock(&self->worker);
  return NULL;
}

void tls_read_again(struct tls *self) {
  if (!self) return;
  worker_lock(&self->worker);
  self->asked = true;
  worker_wake(&self->worker);
  worker_unlock(&self->worker);
}

/* ---- sessions ---- */

struct tls_certificate *tls_take(struct tls *self, gnutls_session_t session) {
  worker_lock(&self->worker);
  struct tls_certificate *certificate = self->current;
  certificate->users++;
  worker_unlock(&self->worker);
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificate->credentials);
  return certificate;
}

void tls_give(struct tls *self, struct tls_certificate *certificate) {
  worker_lock(&self->worker);
  bool last = --certificate->users == 0;
  worker_unlock(&self->worker);
  if (last) certificate_free(certificate);
}

/* ---- the owner ---- */

bool tls_open(const struct options *options, struct tls **out, struct failure *failure) {
  const char *paths[FILES];
  for (int i = 0; i < FILES; i++) paths[i] = options_text(options, names[i]);
  if (!paths[CERTIFICATE] && !paths[KEY]) return true;
  if (!paths[CERTIFICATE] || !paths[KEY])
    return failure_set(failure, EX_USAGE, "TLS needs both --%s and --%s", names[CERTIFICATE],
                       names[KEY]);
  struct tls *self = xcalloc(1, sizeof *self);
  memcpy(self->paths, paths, sizeof paths);
  have_changed(self);
  self->current = read_files(paths, failure);
  if (!self->current) {
    free(self);
    return false;
  }
  self->current->users = 1;
  tell_age(self, self->current->until);
  worker_init(&self->worker);
  worker_start(&self->worker, "tls", watch, self);
  *out = self;
  return true;
}

void tls_close(struct tls *self) {
  if (!self) return;
  worker_free(&self->worker);
  certificate_free(self->current);
  free(self);
}
