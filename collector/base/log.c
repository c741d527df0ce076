/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "utf8.h"

#define LINE_MAX_BYTES 1024

static _Atomic int threshold = LOG_INFO;
static const char *const names[] = { "error", "warn", "info", "debug" };

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

int log_level_code(const char *name)
{
    for (int i = 0; i <= LOG_DEBUG; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

const char *log_level_name(enum log_level level)
{
    return names[level];
}

/* Opens a new window when the old one is over; says whether this line may pass. */
static bool site_admits(struct log_site *site, uint32_t *held_back)
{
    int64_t now = mono_now().ms, start = atomic_load(&site->window_ms);

    *held_back = 0;
    if (start == 0 || now - start >= LOG_WINDOW_MS) {
        atomic_store(&site->window_ms, now);
        atomic_store(&site->lines, 0);
        *held_back = atomic_exchange(&site->held_back, 0);
    }
    if (atomic_fetch_add(&site->lines, 1) < LOG_BURST)
        return true;
    atomic_fetch_add(&site->held_back, 1);
    return false;
}

static size_t stamp(char *buf, size_t size)
{
    struct timespec t;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(buf, size, "ts=%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(buf + n, size - n, ".%03ldZ", t.tv_nsec / 1000000);
}

void log_line(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    size_t n, room = sizeof line - 1; /* the newline */
    uint32_t held_back;
    va_list ap;

    if ((int)level > atomic_load(&threshold) || !site_admits(site, &held_back))
        return;
    n = stamp(line, room);
    n += (size_t)snprintf(line + n, room - n, " level=%s event=%s", names[level], event);
    if (held_back > 0)
        n += (size_t)snprintf(line + n, room - n, " held_back=%u", held_back);
    if (fmt[0] != '\0' && n + 1 < room) {
        line[n++] = ' ';
        va_start(ap, fmt);
        int more = vsnprintf(line + n, room - n, fmt, ap);
        va_end(ap);
        n += more < 0 ? 0 : (size_t)more < room - n ? (size_t)more : room - n - 1;
    }
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0)
        return; /* nowhere left to say it */
}

/* Bytes of the character above ASCII at s, of which left bytes are there; 0: it is not whole. */
static size_t wide_char(const unsigned char *s, size_t left)
{
    for (size_t len = 2; len <= 4 && len <= left; len++)
        if (utf8_valid_slow(s, len))
            return len;
    return 0;
}

const char *log_quote(const void *text, size_t len, char *buf, size_t size)
{
    const unsigned char *s = text;
    size_t n = 0;

    buf[n++] = '"';
    for (size_t i = 0; i < len && n + 8 < size; i++) {
        size_t wide = s[i] >= 0x80 ? wide_char(s + i, len - i) : 0;
        if (wide > 0) {
            memcpy(buf + n, s + i, wide);
            n += wide;
            i += wide - 1;
        } else if (s[i] == '"' || s[i] == '\\')
            n += (size_t)snprintf(buf + n, size - n, "\\%c", s[i]);
        else if (s[i] < 0x20 || s[i] >= 0x7f)
            n += (size_t)snprintf(buf + n, size - n, "\\x%02x", s[i]);
        else
            buf[n++] = (char)s[i];
    }
    buf[n++] = '"';
    buf[n] = '\0';
    return buf;
}
