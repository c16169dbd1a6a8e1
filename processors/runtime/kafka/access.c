#include "runtime/kafka/access.h"

#include <errno.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "runtime/base/read_line.h"
#include "runtime/kafka/certificate.h"
#include "runtime/kafka/names.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All under the lock */
static char refused[256], refused_topic[TOPIC_NAME_MAX], distrusted[128];
static bool refused_last;

/* ---- passwords ---- */

static bool set_password(rd_kafka_conf_t *conf, const char *property, const char *path,
                         struct failure *failure) {
  char *buffer = NULL, error[256];
  size_t capacity = 0;
  struct str line = {0};
  bool too_long = false;
  FILE *file = fopen(path, "r");
  bool read = file && line_read(file, &buffer, &capacity, &line, &too_long);
  int reason = !file || ferror(file) ? errno : 0;
  if (file) fclose(file);
  while (line.size && line.data[line.size - 1] == '\r') buffer[--line.size] = '\0';
  bool fine = read && line.size && !too_long && !memchr(line.data, '\0', line.size);
  if (!fine)
    failure_set(failure, EX_CONFIG, "the password file '%s' %s%s", path,
                reason ? "cannot be read: " : "has no password in its first line",
                reason ? strerror(reason) : "");
  if (fine && rd_kafka_conf_set(conf, property, buffer, error, sizeof error) != RD_KAFKA_CONF_OK)
    fine = failure_set(failure, EX_CONFIG, "librdkafka property %s: %s", property, error);
  free(buffer);
  return fine;
}

static bool set_passwords(rd_kafka_conf_t *conf, const struct options *options,
                          struct failure *failure) {
  const char *sasl = options_text(options, "sasl-password-file"),
             *key = options_text(options, "ssl-key-password-file");
  return (!sasl || set_password(conf, "sasl.password", sasl, failure)) &&
         (!key || set_password(conf, "ssl.key.password", key, failure));
}

static bool is_of_today(rd_kafka_conf_t *conf, struct failure *failure) {
  char path[512] = "";
  size_t size = sizeof path;
  return rd_kafka_conf_get(conf, "ssl.certificate.location", path, &size) != RD_KAFKA_CONF_OK ||
         !path[0] || certificate_is_of_today(path, failure);
}

/* ---- ACLs ---- */

bool access_denied(struct failure *failure, const char *operation, const char *resource,
                   const char *name) {
  return failure_set(failure, EX_CONFIG,
                     "%s on %s '%s' is not allowed: no ACL gives it to this principal. 'holdfast "
                     "acls plan' shows what is missing",
                     operation, resource, name);
}

bool access_is_no_writer(rd_kafka_t *producer, const char *topic, struct failure *failure) {
  rd_kafka_resp_err_t error = rd_kafka_fatal_error(producer, NULL, 0);
  if (error != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED &&
      error != RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
    return false;
  access_denied(failure, "Write", "topic", topic);
  return true;
}

void access_note_log(const char *facility, const char *text) {
  if (strcmp(facility, "ADDPARTS") != 0 || !strstr(text, "authorization")) return;
  const char *begin = strchr(text, '"'), *end = begin ? strchr(begin + 1, '"') : NULL;
  if (!end) return;
  pthread_mutex_lock(&lock);
  snprintf(refused_topic, sizeof refused_topic, "%.*s", (int)(end - begin - 1), begin + 1);
  pthread_mutex_unlock(&lock);
}

const char *access_refused_topic(char *out, size_t size) {
  pthread_mutex_lock(&lock);
  snprintf(out, size, "%s", refused_topic);
  pthread_mutex_unlock(&lock);
  return out;
}

/* ---- who one is ---- */

/* TLS 1.3 lets a client think that all is well before the broker has seen its certificate: the alert
 * comes as the end of a connection that stood. */
static bool is_alert(const char *reason) {
  return strstr(reason, "alert") && strstr(reason, "certificate");
}

/* librdkafka says of a broker's certificate only that it could not be verified. */
static int on_verified(rd_kafka_t *handle, const char *broker, int32_t broker_id, int *error,
                       int depth, const char *bytes, size_t size, char *text, size_t text_size,
                       void *opaque) {
  (void)handle, (void)broker, (void)broker_id, (void)depth, (void)bytes, (void)size, (void)opaque;
  if (*error == X509_V_OK) return 1;
  pthread_mutex_lock(&lock);
  snprintf(distrusted, sizeof distrusted, "%s", X509_verify_cert_error_string(*error));
  snprintf(text, text_size, "%s", distrusted);
  pthread_mutex_unlock(&lock);
  return 0;
}

/* A broker that dies in the middle of a handshake has not refused anybody. */
static bool is_refusal(int error, const char *reason) {
  if (error == RD_KAFKA_RESP_ERR__SSL) return !strstr(reason, "unexpected eof");
  return error == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
         error == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED || is_alert(reason);
}

static void on_error(rd_kafka_t *handle, int error, const char *reason, void *opaque) {
  (void)handle, (void)opaque;
  if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) return; /* follows on each of the others */
  pthread_mutex_lock(&lock);
  refused_last = is_refusal(error, reason);
  if (refused_last && distrusted[0] && strstr(reason, "certificate verify failed"))
    snprintf(refused, sizeof refused, "the broker's certificate: %s", distrusted);
  else if (refused_last)
    snprintf(refused, sizeof refused, "%s", reason);
  pthread_mutex_unlock(&lock);
}

bool access_prepare(rd_kafka_conf_t *conf, const struct options *options, struct failure *failure) {
  rd_kafka_conf_set_error_cb(conf, on_error);
  rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_verified);
  return set_passwords(conf, options, failure) && is_of_today(conf, failure);
}

bool access_is_refused_still(void) {
  pthread_mutex_lock(&lock);
  bool is = refused_last;
  pthread_mutex_unlock(&lock);
  return is;
}

/* librdkafka before 2.6.1 sends its nonce twice, which Kafka takes no more since CVE-2024-56128. */
static const char *advice(void) {
  if (strstr(refused, "SCRAM") && rd_kafka_version() < 0x020601ff)
    return "librdkafka before 2.6.1 cannot use SCRAM with Kafka 3.7.2, 3.8.1, 3.9 or later: use a "
           "certificate, or a newer one ('scripts/setup --librdkafka newest')";
  return "are name, password and certificates right, and of today?";
}

bool access_is_refused(struct failure *failure) {
  pthread_mutex_lock(&lock);
  bool is = refused[0] != '\0';
  if (is)
    failure_set(failure, EX_CONFIG, "the broker and this process do not trust each other: %.*s: %s",
                (int)(strstr(refused, " (after ") ? strstr(refused, " (after ") - refused
                                                  : (ptrdiff_t)sizeof refused),
                refused, advice());
  pthread_mutex_unlock(&lock);
  return is;
}

void access_is_fine(void) {
  pthread_mutex_lock(&lock);
  refused[0] = '\0';
  refused_last = false;
  pthread_mutex_unlock(&lock);
}
