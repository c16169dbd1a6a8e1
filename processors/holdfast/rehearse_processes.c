/* The processes of a rehearsal. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "rehearsal.h"
#include "runtime/contract/processors.h"

#define PATH_SIZE 1024

bool rehearse_write_properties(struct rehearsal *rehearsal) {
  char path[PATH_SIZE];
  const struct options *options = rehearsal->options;
  snprintf(path, sizeof path, "%s/kafka.properties", rehearsal->folder);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
  if (!file) return rehearsal_find(rehearsal, FINDING_FAILED, "%s: %s", path, strerror(errno));
  fprintf(file, "brokers = %s\nprefix = %s\n", options_text(options, "brokers"),
          options_text(options, "prefix"));
  for (size_t i = 0; i < options->kafka_count; i++)
    fprintf(file, "%s = %s\n", options->kafka[i].name, options->kafka[i].value);
  return fclose(file) == 0;
}

/* This binary's folder, or where an installation has the filters (PREFIX/bin, and
 * PREFIX/libexec/holdfast). */
static bool find_binary(const char *name, char *out) {
  static const char *const places[] = {"/", "/../libexec/holdfast/"};
  char here[PATH_SIZE / 2];
  ssize_t size = readlink("/proc/self/exe", here, sizeof here - 1);
  if (size <= 0) return false;
  here[size] = '\0';
  *strrchr(here, '/') = '\0';
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    snprintf(out, PATH_SIZE, "%s%s%s", here, places[i], name);
    if (access(out, X_OK) == 0) return true;
  }
  return false;
}

/* The environment is kept but for what the file says: flags > environment > file. */
static void clear_environment(void) {
  static const char *const names[] = {"HOLDFAST_BROKERS", "HOLDFAST_PREFIX", "HOLDFAST_HEALTH",
                                      "HOLDFAST_HTTP",    "HOLDFAST_PEERS",  "HOLDFAST_SLOT",
                                      "HOLDFAST_STANDBY"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
}

/* In the child: never returns. */
static void become(const char *binary, const char *const *arguments) {
  clear_environment();
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the rehearsal */
  execv(binary, (char *const *)(uintptr_t)arguments);
  _exit(EX_UNAVAILABLE);
}

int rehearse_run(struct rehearsal *rehearsal, const char *const *words, char *out, size_t size) {
  char properties[PATH_SIZE];
  const char *arguments[16] = {"holdfast"};
  size_t count = 1;
  int ends[2], status;
  for (; *words && count < 12; words++) arguments[count++] = *words;
  snprintf(properties, sizeof properties, "%s/kafka.properties", rehearsal->folder);
  arguments[count++] = "-F";
  arguments[count] = properties;
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    become("/proc/self/exe", arguments);
  }
  close(ends[1]);
  size_t used = 0;
  char rest[4096];
  for (ssize_t got; (got = read(ends[0], rest, sizeof rest)) > 0;) {
    size_t take = (size_t)got < size - 1 - used ? (size_t)got : size - 1 - used;
    memcpy(out + used, rest, take);
    used += take;
  }
  out[used] = '\0';
  close(ends[0]);
  if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

bool rehearse_start(struct rehearsal *rehearsal, struct child *child) {
  char binary[PATH_SIZE], properties[PATH_SIZE], state[PATH_SIZE], log[PATH_SIZE];
  if (!find_binary(child->name, binary))
    return rehearsal_find(rehearsal, FINDING_FAILED, "the binary of %s is not where this one is",
                          child->name);
  snprintf(properties, sizeof properties, "%s/kafka.properties", rehearsal->folder);
  snprintf(state, sizeof state, "%s/state", rehearsal->folder);
  snprintf(log, sizeof log, "%s/%s.log", rehearsal->folder, child->name);
  const char *const arguments[] = {child->name, "-F", properties, "--state-dir", state, NULL};
  child->pid = fork();
  if (child->pid == 0) {
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, S_IRUSR | S_IWUSR);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    become(binary, arguments);
  }
  return child->pid > 0;
}

bool rehearse_start_all(struct rehearsal *rehearsal) {
  for (const struct processor *const *one = all_processors; *one; one++) {
    if ((*one)->world || rehearsal->child_count == REHEARSED_MAX) continue;
    struct child *child = &rehearsal->children[rehearsal->child_count++];
    child->name = (*one)->name;
    if (!rehearse_start(rehearsal, child)) return false;
  }
  return true;
}

struct child *rehearse_child(struct rehearsal *rehearsal, const char *name) {
  for (size_t i = 0; i < rehearsal->child_count; i++) {
    if (strcmp(rehearsal->children[i].name, name) == 0) return &rehearsal->children[i];
  }
  return NULL;
}

static int code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int rehearse_end(struct child *child, int signal) {
  int status = 0;
  if (!child->pid) return 0;
  kill(child->pid, signal);
  waitpid(child->pid, &status, 0);
  child->pid = 0;
  return code_of(status);
}

void rehearse_supervise(struct rehearsal *rehearsal) {
  for (size_t i = 0; i < rehearsal->child_count; i++) {
    struct child *child = &rehearsal->children[i];
    int status;
    if (!child->pid || waitpid(child->pid, &status, WNOHANG) != child->pid) continue;
    child->pid = 0;
    int code = code_of(status);
    bool again = code != EX_USAGE && code != EX_DATAERR && code != EX_CONFIG;
    rehearsal_find(rehearsal, again ? FINDING_WARNING : FINDING_FAILED,
                   "%s ended with %d by itself%s", child->name, code,
                   again ? " and was started again" : ": the last line of its log says why");
    if (again) rehearse_start(rehearsal, child);
  }
}
