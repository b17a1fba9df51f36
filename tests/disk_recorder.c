/* Records what a process and its children do to the files below one folder, in order: for `power_cut.py`.

   Loaded with LD_PRELOAD. The folder is IMPASTO_RECORD_ROOT, the recording IMPASTO_RECORD_LOG. Each operation
   is carried out and recorded under a lock that all processes share, so that the recording has the order in
   which things happened. Writes through memory maps and those inside the C library (fwrite) are not seen;
   the reader compares the replayed recording with the folder and would notice. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
    uint32_t kind, name_bytes, other_bytes, data_bytes;
    uint64_t file, at;
};

static char root[PATH_MAX];
static size_t root_bytes;
static int record = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void renew_mutex(void) { pthread_mutex_init(&mutex, NULL); }

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("IMPASTO_RECORD_ROOT"), *log = getenv("IMPASTO_RECORD_LOG");
    if (!folder || !log || !realpath(folder, root)) return;
    root_bytes = strlen(root);
    int opened = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    record = fcntl(opened, F_DUPFD_CLOEXEC, 200); /* below the limit of the sandbox's processes */
    close(opened);
    pthread_atfork(NULL, NULL, renew_mutex);
}

static void hold(int kind) {
    struct flock lock = {.l_type = kind, .l_whence = SEEK_SET};
    while (syscall(SYS_fcntl, record, F_SETLKW, &lock) < 0 && errno == EINTR) {
    }
}

static void begin(void) {
    pthread_mutex_lock(&mutex);
    hold(F_WRLCK);
}

static void end(void) {
    int error = errno;
    hold(F_UNLCK);
    pthread_mutex_unlock(&mutex);
    errno = error;
}

static int below_root(const char *path) {
    return record >= 0 && !strncmp(path, root, root_bytes) && (!path[root_bytes] || path[root_bytes] == '/');
}

static int name_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (bytes < 0) return 0;
    path[bytes] = 0;
    return 1;
}

static int recorded_fd(int fd) {
    char path[PATH_MAX];
    int error = errno, found = record >= 0 && fd >= 0 && fd != record && name_of(fd, path) && below_root(path);
    errno = error;
    return found;
}

/* The absolute path, with links resolved in all but its last part; whether it is below the root. */
static int resolve(int folder, const char *name, char *path) {
    char full[2 * PATH_MAX], parent[PATH_MAX], real[PATH_MAX];
    int error = errno;
    if (record < 0 || !name) return 0;
    if (name[0] == '/') snprintf(full, sizeof full, "%s", name);
    else {
        if (folder == AT_FDCWD ? !getcwd(parent, sizeof parent) : !name_of(folder, parent)) return 0;
        snprintf(full, sizeof full, "%s/%s", parent, name);
    }
    size_t bytes = strlen(full);
    while (bytes > 1 && full[bytes - 1] == '/') full[--bytes] = 0;
    char *last = strrchr(full, '/');
    *last = 0;
    int found = realpath(*full ? full : "/", real) != NULL;
    if (found) found = snprintf(path, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "", last + 1) < PATH_MAX;
    errno = error;
    return found && below_root(path);
}

static uint64_t number_of(const char *path) {
    struct stat facts;
    return syscall(SYS_newfstatat, AT_FDCWD, path, &facts, AT_SYMLINK_NOFOLLOW) ? 0 : facts.st_ino;
}

static uint64_t number_of_fd(int fd) {
    struct stat facts;
    return fstat(fd, &facts) ? 0 : facts.st_ino;
}

static void put(char kind, uint64_t file, uint64_t at, const char *name, const char *other, const void *data,
                size_t bytes) {
    int error = errno;
    struct header head = {kind, name ? strlen(name) : 0, other ? strlen(other) : 0, bytes, file, at};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)name, head.name_bytes},
                            {(void *)other, head.other_bytes}, {(void *)data, bytes}};
    syscall(SYS_writev, record, parts, 4);
    errno = error;
}

/* -- names ------------------------------------------------------------------------------------------- */
static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (!writes || (flags & O_TMPFILE) == O_TMPFILE || !resolve(folder, name, path))
        return syscall(SYS_openat, folder, name, flags, mode);
    begin();
    uint64_t before = number_of(path);
    int fd = syscall(SYS_openat, folder, name, flags, mode);
    if (fd >= 0 && !before) put('c', number_of_fd(fd), 0, path, NULL, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC) put('t', number_of_fd(fd), 0, NULL, NULL, NULL, 0);
    end();
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, int); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE(flags) return open_at(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE(flags) return open_at(folder, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!resolve(folder, name, path)) return syscall(SYS_mkdirat, folder, name, mode);
    begin();
    int failed = syscall(SYS_mkdirat, folder, name, mode);
    if (!failed) put('d', number_of(path), 0, path, NULL, NULL, 0);
    end();
    return failed;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!resolve(folder, name, path)) return syscall(SYS_unlinkat, folder, name, flags);
    begin();
    int failed = syscall(SYS_unlinkat, folder, name, flags);
    if (!failed) put('u', 0, 0, path, NULL, NULL, 0);
    end();
    return failed;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    char source[PATH_MAX], target[PATH_MAX];
    int out = resolve(from, old, source), in = resolve(to, new, target);
    if (!out && !in) return syscall(SYS_renameat2, from, old, to, new, flags);
    begin();
    uint64_t moved = out ? number_of(source) : 0, replaced = in ? number_of(target) : 0;
    int failed = syscall(SYS_renameat2, from, old, to, new, flags);
    if (!failed && moved != replaced) put('r', 0, 0, out ? source : "", in ? target : "", NULL, 0);
    end();
    return failed;
}
int renameat(int from, const char *old, int to, const char *new) { return renameat2(from, old, to, new, 0); }
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    char source[PATH_MAX], target[PATH_MAX];
    if (!resolve(to, new, target)) return syscall(SYS_linkat, from, old, to, new, flags);
    begin();
    int failed = syscall(SYS_linkat, from, old, to, new, flags);
    if (!failed) put('l', 0, 0, resolve(from, old, source) ? source : "", target, NULL, 0);
    end();
    return failed;
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

/* -- contents ---------------------------------------------------------------------------------------- */
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at) {
    if (!recorded_fd(fd)) return syscall(SYS_pwrite64, fd, data, bytes, at);
    begin();
    ssize_t written = syscall(SYS_pwrite64, fd, data, bytes, at);
    if (written > 0) put('w', number_of_fd(fd), at, NULL, NULL, data, written);
    end();
    return written;
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) { return pwrite64(fd, data, bytes, at); }

ssize_t write(int fd, const void *data, size_t bytes) {
    if (!recorded_fd(fd)) return syscall(SYS_write, fd, data, bytes);
    begin();
    ssize_t written = syscall(SYS_write, fd, data, bytes);
    if (written > 0)
        put('w', number_of_fd(fd), lseek(fd, 0, SEEK_CUR) - written, NULL, NULL, data, written);
    end();
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t total = 0;
    if (!recorded_fd(fd)) return syscall(SYS_writev, fd, parts, count);
    for (int part = 0; part < count; part++) {
        if (!parts[part].iov_len) continue;
        ssize_t written = write(fd, parts[part].iov_base, parts[part].iov_len);
        if (written < 0) return total ? total : written;
        total += written;
        if ((size_t)written < parts[part].iov_len) break;
    }
    return total;
}

int ftruncate64(int fd, off64_t bytes) {
    if (!recorded_fd(fd)) return syscall(SYS_ftruncate, fd, bytes);
    begin();
    int failed = syscall(SYS_ftruncate, fd, bytes);
    if (!failed) put('t', number_of_fd(fd), bytes, NULL, NULL, NULL, 0);
    end();
    return failed;
}
int ftruncate(int fd, off_t bytes) { return ftruncate64(fd, bytes); }

static int synced(int fd, long call) {
    if (!recorded_fd(fd)) return syscall(call, fd);
    begin();
    int failed = syscall(call, fd);
    if (!failed) put('s', number_of_fd(fd), 0, NULL, NULL, NULL, 0);
    end();
    return failed;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

void sync(void) {
    syscall(SYS_sync);
    if (record < 0) return;
    begin();
    put('a', 0, 0, NULL, NULL, NULL, 0);
    end();
}

/* Copies within the kernel: refused, so that the caller reads and writes. */
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t bytes, unsigned flags) {
    if (!recorded_fd(to)) return syscall(SYS_copy_file_range, from, at, to, there, bytes, flags);
    errno = ENOSYS;
    return -1;
}
static ssize_t send_file(int to, int from, off64_t *at, size_t bytes) {
    if (!recorded_fd(to)) return syscall(SYS_sendfile, to, from, at, bytes);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t bytes) { return send_file(to, from, at, bytes); }
ssize_t sendfile(int to, int from, off_t *at, size_t bytes) { return send_file(to, from, (off64_t *)at, bytes); }
