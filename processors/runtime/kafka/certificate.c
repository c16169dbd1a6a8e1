#include "runtime/kafka/certificate.h"

#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>

static atomic_int_least64_t ends;

int64_t certificate_ends(void) {
  return ends;
}

bool certificate_is_of_today(const char *path, struct failure *failure) {
  char date[64];
  struct tm end;
  FILE *file = fopen(path, "r");
  X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
  if (file) fclose(file);
  bool known = certificate && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end);
  X509_free(certificate);
  if (!known) return true;
  strftime(date, sizeof date, "%Y-%m-%d", &end);
  ends = timegm(&end);
  return ends > time(NULL) || failure_set(failure, EX_CONFIG,
                                          "the certificate '%s' expired on %s: give this process a "
                                          "new one, and start it again",
                                          path, date);
}
