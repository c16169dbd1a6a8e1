/* A file of topics/: the settings of one topic. */
#ifndef HOLDFAST_TOPIC_FILE_H
#define HOLDFAST_TOPIC_FILE_H

#include "runtime/kafka/admin.h"
#include "runtime/kafka/names.h"

#define TOPIC_SETTINGS_MAX 16
#define TOPIC_PARTITIONS_MAX 1024

struct topic_file {
  char name[TOPIC_NAME_MAX];
  int32_t partitions;
  struct kafka_setting settings[TOPIC_SETTINGS_MAX + 1]; /* of the broker; owned */
  size_t setting_count;
};

/* path is DIRECTORY/TOPIC.topic. False: error (512 bytes) says what is wrong, and on which line. To
 * be freed in either case. */
bool topic_file_read(FILE *file, const char *path, struct topic_file *out, char *error);
void topic_file_free(struct topic_file *topic);

#endif
