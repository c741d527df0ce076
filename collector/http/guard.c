/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "routes.h"

bool guard_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Cuts brackets and port off a Host header: "[::1]:7448", "localhost:7448". */
static bool host_name(const char *host, char *out, size_t size)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : host + strcspn(host, ":");

    host += host[0] == '[';
    if (!end || (size_t)(end - host) >= size)
        return false;
    memcpy(out, host, (size_t)(end - host));
    out[end - host] = 0;
    end += *end == ']';
    return *end == 0 || (*end == ':' && strspn(end + 1, "0123456789") == strlen(end + 1));
}

bool guard_host(const char *host, const char *address)
{
    char name[64];

    if (!host_name(host, name, sizeof name))
        return false;
    return strcasecmp(name, "localhost") == 0 || guard_loopback(name) || strcasecmp(name, address) == 0;
}

bool guard_token(const char *given, const char *token)
{
    size_t n = strlen(given), len = strlen(token);
    unsigned char wrong = n != len;

    for (size_t i = 0; i < len; i++)
        wrong |= (unsigned char)(token[i] ^ (n ? given[i % n] : 0));
    return wrong == 0;
}

static bool authorised(const struct request *r)
{
    const char *header = request_header(r, MHD_HTTP_HEADER_AUTHORIZATION);

    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    return guard_token(header + 7, r->server->token);
}

/* A browser tells which page a change comes from; only pages of this very server may. */
static bool origin_own(const char *origin, const char *host)
{
    return strncmp(origin, "http://", 7) == 0 && host && strcasecmp(origin + 7, host) == 0;
}

int guard_request(const struct request *r, struct problem *p)
{
    const char *host = request_header(r, MHD_HTTP_HEADER_HOST),
               *origin = request_header(r, MHD_HTTP_HEADER_ORIGIN);

    if (r->server->token && !(r->route && r->route->open) && !authorised(r))
        return problem_set(p, 401, "this collector wants a token: Authorization: Bearer TOKEN");
    if (!r->server->token && host && !guard_host(host, r->server->address))
        return problem_set(
            p, 403, "the Host header is not this machine's; without a token only local names are served");
    if (r->method != METHOD_GET && origin && !origin_own(origin, host))
        return problem_set(p, 403, "nothing is taken from other sites' pages");
    return 0;
}
