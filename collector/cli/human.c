/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

void human_count(int64_t n, char out[CLI_TEXT])
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%" PRId64, n), to = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            out[to++] = ',';
        out[to++] = digits[i];
    }
    out[to] = 0;
}

/* n in steps of `step`, with one digit after the point below 100; `from` steps are taken at least. */
static void scaled(int64_t n, double step, const char *const *units, char out[CLI_TEXT])
{
    double v = (double)n;
    int i = 0;

    for (; v >= step - 0.5 && units[i + 1]; i++)
        v /= step;
    if (i == 0)
        snprintf(out, CLI_TEXT, "%" PRId64 "%s%s", n, units[0][0] ? " " : "", units[0]);
    else
        snprintf(out, CLI_TEXT, v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
}

void human_si(int64_t n, char out[CLI_TEXT])
{
    static const char *const units[] = { "", "k", "M", "G", "T", "P", "E", NULL };

    scaled(n, 1000, units, out);
}

void human_bytes(int64_t n, char out[CLI_TEXT])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL };

    scaled(n, 1024, units, out);
}

void human_ms(int64_t ms, char out[CLI_TEXT])
{
    int64_t s = ms / 1000;

    if (ms < 1000)
        snprintf(out, CLI_TEXT, "%" PRId64 " ms", ms);
    else if (ms < 59950)
        snprintf(out, CLI_TEXT, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        snprintf(out, CLI_TEXT, "%" PRId64 " m %02" PRId64 " s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, CLI_TEXT, "%" PRId64 " h %02" PRId64 " m", s / 3600, s / 60 % 60);
    else
        snprintf(out, CLI_TEXT, "%" PRId64 " d %02" PRId64 " h", s / 86400, s / 3600 % 24);
}

void human_rate(double rate, char out[CLI_TEXT])
{
    double percent = 100 * rate;

    if (!(percent > 0) || percent >= 9.95)
        snprintf(out, CLI_TEXT, "%.0f %%", percent > 0 ? percent : 0);
    else if (percent < 0.05)
        snprintf(out, CLI_TEXT, "< 0.1 %%");
    else
        snprintf(out, CLI_TEXT, "%.1f %%", percent);
}

void human_percent(int64_t part, int64_t of, char out[CLI_TEXT])
{
    if (of <= 0)
        snprintf(out, CLI_TEXT, "-");
    else
        human_rate((double)part / (double)of, out);
}

/* From ten times as much on nobody thinks in percent. */
void human_change(int64_t now, int64_t before, char out[CLI_TEXT])
{
    double factor = before > 0 ? (double)now / (double)before : 0, percent = 100 * (factor - 1);

    if (before <= 0)
        snprintf(out, CLI_TEXT, "%s", now > 0 ? "new" : "-");
    else if (factor >= 9.995)
        snprintf(out, CLI_TEXT, "x %.0f", factor);
    else if (percent > -0.05 && percent < 0.05)
        snprintf(out, CLI_TEXT, "0 %%");
    else
        snprintf(out, CLI_TEXT, percent > -9.95 && percent < 9.95 ? "%+.1f %%" : "%+.0f %%", percent);
}

void human_usd(int64_t nanousd, char out[CLI_TEXT])
{
    double usd = (double)nanousd / 1e9;
    char whole[CLI_TEXT];
    int64_t cents = nanousd / 10000000 + (nanousd % 10000000 >= 5000000);

    if (nanousd > 0 && cents < 1) {
        snprintf(out, CLI_TEXT, "$%.6f", usd);
        return;
    }
    human_count(cents / 100, whole);
    snprintf(out, CLI_TEXT, "$%.40s.%02d", whole, (int)(cents % 100));
}

void human_text(FILE *to, const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    for (; *p; p++) {
        bool control = *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
        if (control)
            p += *p == 0xc2;
        fputc(control ? '?' : *p, to);
    }
}

void human_piece(FILE *to, const char *bytes, size_t len, bool *held)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool c1 = *held && c >= 0x80 && c < 0xa0;
        bool control = (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f || c1;
        if (*held && !c1)
            fputc(0xc2, to);
        *held = c == 0xc2; /* with the next byte it may be a control character */
        if (!*held)
            fputc(control ? '?' : c, to);
    }
}

void human_whole(char *text)
{
    size_t len = strlen(text), begin = len;
    size_t wanted = 1;

    while (begin > 0 && len - begin < 3 && ((unsigned char)text[begin - 1] & 0xc0) == 0x80)
        begin--;
    if (begin == 0)
        return;
    unsigned char lead = (unsigned char)text[--begin];
    if (lead >= 0xc0)
        wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead >= 0xc0 && len - begin < wanted)
        text[begin] = 0;
}

size_t human_width(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}
