/* SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli.h"

#define CONNECT_TIMEOUT_S 5L
#define ANSWER_TIMEOUT_S  60L

struct transfer {
    CURL *curl;
    const char *method; /* NULL: GET */
    const char *body;   /* of it, JSON */
    struct cli_answer *answer;
    cli_sink sink; /* NULL: into the answer's body */
    void *arg;
};

static size_t keep(struct cli_answer *a, const char *bytes, size_t len)
{
    if (a->len + len > CLI_BODY_MAX)
        return 0;
    char *fresh = realloc(a->body, a->len + len + 1);
    if (!fresh)
        return 0;
    memcpy(fresh + a->len, bytes, len);
    a->body = fresh;
    a->len += len;
    a->body[a->len] = 0;
    return len;
}

/* A refusal is kept to be told, whatever the sink. */
static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    long status = 0;

    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!t->sink || status != 200)
        return keep(t->answer, bytes, size * n);
    return t->sink(t->arg, bytes, size * n) ? size * n : 0;
}

/* The value of a header line if it has this name, else NULL. */
static const char *header_value(const char *line, size_t len, const char *name, size_t *value_len)
{
    size_t at = strlen(name);

    if (len <= at || line[at] != ':' || strncasecmp(line, name, at) != 0)
        return NULL;
    for (at++; at < len && line[at] == ' ';)
        at++;
    while (len > at && strchr("\r\n ", line[len - 1]))
        len--;
    *value_len = len - at;
    return line + at;
}

/* CSV has no place for it, so headers tell that there is more than what comes. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct cli_answer *a = ((struct transfer *)arg)->answer;
    const char *value;
    size_t len;

    if ((value = header_value(line, size * n, "Tollgate-Truncated", &len)) != NULL)
        a->cut = a->cut || (len == 4 && strncasecmp(value, "true", 4) == 0);
    else if ((value = header_value(line, size * n, "Tollgate-Next", &len)) != NULL && len > 0) {
        a->cut = true;
        if (len < sizeof a->next)
            snprintf(a->next, sizeof a->next, "%.*s", (int)len, value);
    }
    return size * n;
}

static bool append(char **url, const char *a, const char *b, const char *d)
{
    size_t len = strlen(*url), more = strlen(a) + strlen(b) + strlen(d);
    char *fresh = realloc(*url, len + more + 1);

    if (!fresh)
        return false;
    snprintf(fresh + len, more + 1, "%s%s%s", a, b, d);
    *url = fresh;
    return true;
}

/* "http://host:port" + path + "?from=-24h&...". NULL: no memory. */
static char *url_of(CURL *curl, const struct cli *c, const char *path, bool with_params)
{
    char *url = strdup(c->url);
    bool ok = url != NULL;

    if (ok && url[0] && url[strlen(url) - 1] == '/')
        url[strlen(url) - 1] = 0;
    ok = ok && append(&url, path, "", "");
    for (unsigned i = 0; ok && with_params && i < c->params; i++) {
        char *name = curl_easy_escape(curl, c->param[i].name, 0);
        char *value = curl_easy_escape(curl, c->param[i].value, 0);
        ok = name && value &&
             append(&url, i || strchr(path, '?') ? "&" : "?", c->param[i].tag ? "tag:" : "", name) &&
             append(&url, "=", value, "");
        curl_free(name);
        curl_free(value);
    }
    if (ok)
        return url;
    free(url);
    return NULL;
}

/* Called about once a second: the way in which a signal ends a wait. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    const struct cli *c = arg;

    (void)a, (void)b, (void)d, (void)e;
    return c->stopped();
}

static bool header_add(struct curl_slist **headers, const char *line)
{
    struct curl_slist *more = curl_slist_append(*headers, line);

    *headers = more ? more : *headers;
    return more != NULL;
}

/* The token whole, however long it is. False: no memory. */
static bool headers_make(const struct cli *c, bool json, struct curl_slist **headers)
{
    char *bearer;

    *headers = NULL;
    if (json && !header_add(headers, "Content-Type: application/json"))
        return false;
    if (!c->token || !c->token[0])
        return true;
    if (asprintf(&bearer, "Authorization: Bearer %s", c->token) < 0)
        return false;
    bool ok = header_add(headers, bearer);
    free(bearer);
    return ok;
}

static void transfer_set(struct transfer *t, const char *url, const struct cli *c, long timeout_s)
{
    curl_easy_setopt(t->curl, CURLOPT_URL, url);
    if (t->method) {
        curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, t->body); /* borrowed for the transfer */
        curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, t->method);
    }
    curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->curl, CURLOPT_PROXY, ""); /* a collector is near: $http_proxy is not for it */
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    if (c->stopped) {
        curl_easy_setopt(t->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(t->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(t->curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)c);
    }
    if (t->sink && c->silence_s > 0) {
        curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME, c->silence_s);
    }
    curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(t->curl, CURLOPT_TIMEOUT, timeout_s);
}

static void transfer_run(struct transfer *t, const char *url, const struct cli *c, long timeout_s)
{
    struct curl_slist *headers;

    if (!headers_make(c, t->method != NULL, &headers)) {
        snprintf(t->answer->why, sizeof t->answer->why, "out of memory");
        curl_slist_free_all(headers);
        return;
    }
    transfer_set(t, url, c, timeout_s);
    curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode rc = curl_easy_perform(t->curl);
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->answer->status);
    if (rc != CURLE_OK) {
        bool broke = t->answer->status != 0;
        t->answer->status = 0;
        snprintf(t->answer->why, sizeof t->answer->why, "%s%s", broke ? "the answer broke off: " : "",
                 curl_easy_strerror(rc));
    }
    curl_slist_free_all(headers);
}

static void transfer(struct transfer t, const struct cli *c, const char *path, bool with_params,
                     long timeout_s)
{
    t.curl = curl_easy_init();
    char *url = t.curl ? url_of(t.curl, c, path, with_params) : NULL;

    memset(t.answer, 0, sizeof *t.answer);
    if (url)
        transfer_run(&t, url, c, timeout_s);
    else
        snprintf(t.answer->why, sizeof t.answer->why, "out of memory");
    free(url);
    curl_easy_cleanup(t.curl);
}

void cli_get(const struct cli *c, const char *path, bool with_params, long timeout_s, struct cli_answer *out)
{
    transfer((struct transfer){ .answer = out }, c, path, with_params, timeout_s);
}

void cli_stream(const struct cli *c, const char *path, cli_sink sink, void *arg, struct cli_answer *out)
{
    transfer((struct transfer){ .answer = out, .sink = sink, .arg = arg }, c, path, true, 0);
}

void cli_answer_fini(struct cli_answer *a)
{
    free(a->body);
    a->body = NULL;
}

int cli_complain(const struct cli *c, const struct cli_answer *a)
{
    json_t *problem = a->body ? json_loads(a->body, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *value = json_string_value(json_object_get(problem, "value"));
    const char *expected = json_string_value(json_object_get(problem, "expected"));

    if (a->status == 0)
        fprintf(stderr, "tollgate: %s: %s%s\n", c->url, a->why,
                strchr(a->why, ':') ? "" : " (is tollgated running?)");
    else if (a->status == 401)
        fprintf(stderr, "tollgate: %s: the collector wants a token (--token or $TOLLGATE_TOKEN)\n", c->url);
    else {
        fprintf(stderr, "tollgate: ");
        human_text(stderr, detail ? detail : "the collector refused");
        if (expected && value) {
            fputs(value[0] ? ": " : "", stderr);
            human_text(stderr, value);
            fprintf(stderr, " (expected: ");
            human_text(stderr, expected);
            fprintf(stderr, ")");
        }
        fprintf(stderr, detail ? "\n" : " with status %ld\n", a->status);
    }
    json_decref(problem);
    return a->status == 400 ? CLI_USAGE : CLI_FAILED;
}

/* What a good answer says; frees it. */
static json_t *answer_json(const struct cli *c, struct cli_answer *a, int *status)
{
    json_t *value = NULL;

    if (a->status != 200) {
        *status = cli_complain(c, a);
    } else {
        value = json_loadb(a->body ? a->body : "", a->len, 0, NULL);
        if (!value)
            *status = cli_fail("%s: the answer is not JSON", c->url);
    }
    cli_answer_fini(a);
    return value;
}

json_t *cli_json(const struct cli *c, const char *path, bool with_params, int *status)
{
    struct cli_answer a;

    cli_get(c, path, with_params, ANSWER_TIMEOUT_S, &a);
    return answer_json(c, &a, status);
}

json_t *cli_change(const struct cli *c, const char *method, const char *path, const json_t *body, int *status)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : strdup("");
    struct cli_answer a = { 0 };

    if (!text) {
        *status = cli_fail("out of memory");
        return NULL;
    }
    transfer((struct transfer){ .method = method, .body = text, .answer = &a }, c, path, false,
             c->patience_s ? c->patience_s : ANSWER_TIMEOUT_S);
    free(text);
    return answer_json(c, &a, status);
}

/* An export into a file: what has come so far is shown on the terminal. */
struct copy {
    struct progress progress;
    int64_t bytes;
    bool people; /* stdout is a terminal, which would obey what strangers wrote into events */
    bool held;   /* of human_piece */
};

static bool to_stdout(void *arg, const char *bytes, size_t len)
{
    struct copy *copy = arg;

    copy->bytes += (int64_t)len;
    progress_show(&copy->progress, copy->bytes, 0);
    if (copy->people) {
        human_piece(stdout, bytes, len, &copy->held);
        return !ferror(stdout);
    }
    return fwrite(bytes, 1, len, stdout) == len;
}

/* After a list that was cut; one line. JSON says it in its body too, CSV only here. */
static int cut_tell(const struct cli *c, const struct cli_answer *a)
{
    const char *format = cli_param(c, "format");
    bool csv = format && strcmp(format, "csv") == 0;

    cli_fail("only the first rows have come; --limit raises how many%s%s",
             a->next[0] ? ", and they go on with --after " : "", a->next);
    return csv && !cli_param(c, "limit") ? CLI_FAILED : CLI_OK;
}

static int copy_run(const struct cli *c, const char *path, bool list)
{
    struct copy copy = { .people = isatty(STDOUT_FILENO) };
    struct cli_answer a;
    int status = CLI_OK;

    progress_start(&copy.progress, "received", human_bytes);
    if (copy.people)
        copy.progress.on = false;
    cli_stream(c, path, to_stdout, &copy, &a);
    progress_end(&copy.progress);
    if (copy.held)
        fputc(0xc2, stdout);
    if (fflush(stdout) != 0)
        status = cli_fail("standard output cannot be written");
    else if (a.status != 200)
        status = cli_complain(c, &a);
    else if (list && a.cut)
        status = cut_tell(c, &a);
    cli_answer_fini(&a);
    return status;
}

int cli_copy(const struct cli *c, const char *path)
{
    return copy_run(c, path, false);
}

int cli_copy_list(const struct cli *c, const char *path)
{
    return copy_run(c, path, true);
}

char *cli_path(const char *prefix, const char *id)
{
    CURL *curl = curl_easy_init();
    char *escaped = curl ? curl_easy_escape(curl, id, 0) : NULL, *path = NULL;

    if (escaped && asprintf(&path, "%s%s", prefix, escaped) < 0)
        path = NULL;
    curl_free(escaped);
    curl_easy_cleanup(curl);
    return path;
}

bool cli_is_local(const struct cli *c)
{
    return strstr(c->url, "//127.") || strstr(c->url, "//localhost") || strstr(c->url, "//[::1]");
}
