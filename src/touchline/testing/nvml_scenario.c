/* The scenario of the stand-in driver: reads the file that nvml.py documents, and answers what holds at a time. */
#include "nvml_scenario.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { ENTRIES = 512, POINTS = 256, LINE = 4096 };

typedef struct { char section[24], key[96], *value; } entry_t;
typedef struct { double at, figure; } point_t;
typedef struct { double from, until; char word[48]; } window_t;

static const char *const FIGURES[] = {
    "utilization", "memory_total", "memory_used", "memory_reserved", "temperature", "power", "power_limit", "clock_sm",
    "clock_sm_max", "clock_memory", "clock_memory_max", "energy", "sm", "xid", "instance", "cuda", NULL};
static const char *const TEXTS[] = {"name", "uuid", "version", "processes", NULL};
static const char *const WINDOWS[] = {
    "lost", "throttle thermal", "throttle power", "throttle hardware", "throttle idle", NULL};

static const struct { const char *name; int code; } ERRORS[] = {
    {"UNINITIALIZED", 1}, {"INVALID_ARGUMENT", 2}, {"NOT_SUPPORTED", 3}, {"NO_PERMISSION", 4}, {"NOT_FOUND", 6},
    {"DRIVER_NOT_LOADED", 9}, {"TIMEOUT", 10}, {"FUNCTION_NOT_FOUND", 13}, {"GPU_IS_LOST", 15},
    {"RESET_REQUIRED", 16}, {"LIB_RM_VERSION_MISMATCH", 18}, {"NO_DATA", 21}, {"UNKNOWN", 999}};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry_t entries[ENTRIES];
static int count, is_good;
static struct stat seen;

static int is_one_of(const char *key, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(key, *names))
            return 1;
    return 0;
}

static char *trim(char *text)
{
    char *end = text + strlen(text);
    while (isspace((unsigned char)*text))
        text++;
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = 0;
    return text;
}

/* "4e9 @ 0s, 8e9 @ 60s" or "4e9"; the number of keyframes, 0 when it is none. */
static int points(const char *value, point_t *into)
{
    int n = 0;
    do {
        char *end;
        point_t point = {0, strtod(value, &end)};
        if (end == value || n == POINTS)
            return 0;
        value = end + strspn(end, " ");
        if (*value == '@') {
            point.at = strtod(++value, &end);
            if (end == value)
                return 0;
            value = end + (*end == 's');
            value += strspn(value, " ");
        }
        if (*value && *value != ',')
            return 0;
        if (n && point.at < into[n - 1].at)
            return 0;
        into[n++] = point;
    } while (*value++ == ',');
    return n;
}

/* "WORD from 3s until 4s", each part optional; false when it is none. */
static int window(char *text, window_t *into)
{
    char *rest = NULL, *word = strtok_r(text, " ", &rest);
    *into = (window_t){-1e300, 1e300, ""};
    if (word && strcmp(word, "from") && strcmp(word, "until")) {
        snprintf(into->word, sizeof into->word, "%s", word);
        word = strtok_r(NULL, " ", &rest);
    }
    for (; word; word = strtok_r(NULL, " ", &rest)) {
        char *end, *seconds = strtok_r(NULL, " ", &rest);
        double at = seconds ? strtod(seconds, &end) : 0;
        if (!seconds || end == seconds || (*end && strcmp(end, "s")))
            return 0;
        if (!strcmp(word, "from"))
            into->from = at;
        else if (!strcmp(word, "until"))
            into->until = at;
        else
            return 0;
    }
    return 1;
}

static int windows(const char *value, window_t *into, int size)
{
    char copy[LINE], *rest = NULL, *part;
    int n = 0;
    snprintf(copy, sizeof copy, "%s", value);
    for (part = strtok_r(copy, ",", &rest); part; part = strtok_r(NULL, ",", &rest))
        if (n == size || !window(trim(part), &into[n++]))
            return 0;
    return n;
}

int scenario_code(const char *word)
{
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (!strcmp(word, ERRORS[i].name))
            return ERRORS[i].code;
    return 0;
}

static int is_seconds(const char *word)
{
    char *end;
    return strtod(word, &end) > 0 && (!*end || !strcmp(end, "s"));
}

static int is_understood(const char *key, const char *value)
{
    static point_t frames[POINTS];
    static window_t spans[POINTS];
    if (is_one_of(key, TEXTS))
        return 1;
    if (is_one_of(key, FIGURES))
        return points(value, frames) > 0;
    int is_fault = !strncmp(key, "fault ", 6), is_hang = !strncmp(key, "hang ", 5);
    int n = is_fault || is_hang || is_one_of(key, WINDOWS) ? windows(value, spans, POINTS) : 0;
    for (int i = 0; i < n; i++)
        if (is_fault ? !scenario_code(spans[i].word) : is_hang ? !is_seconds(spans[i].word) : *spans[i].word)
            return 0;
    return n > 0;
}

static void forget(void)
{
    while (count)
        free(entries[--count].value);
}

static int add(const char *section, const char *key, const char *value)
{
    if (count == ENTRIES)
        return 0;
    snprintf(entries[count].section, sizeof entries->section, "%s", section);
    snprintf(entries[count].key, sizeof entries->key, "%s", key);
    entries[count].value = strdup(value);
    return entries[count++].value != NULL;
}

/* A section leaves an entry with an empty key, so that one without figures exists as well. */
static int read_section(const char *text, char *section, size_t size)
{
    size_t length = strlen(text);
    if (text[length - 1] != ']' || length - 2 >= size)
        return 0;
    snprintf(section, size, "%.*s", (int)length - 2, text + 1);
    if (strcmp(section, "driver") && strncmp(section, "gpu ", 4) && strncmp(section, "mig ", 4))
        return 0;
    return add(section, "", "");
}

static int read_figure(char *text, const char *section)
{
    char *equals = strchr(text, '='), *key, *value;
    if (!equals || !*section)
        return 0;
    *equals = 0;
    key = trim(text);
    value = trim(equals + 1);
    return is_understood(key, value) && add(section, key, value);
}

static int read_file(const char *path, FILE *file)
{
    char raw[LINE], copy[LINE], section[24] = "";
    for (int line = 1; fgets(raw, sizeof raw, file); line++) {
        raw[strcspn(raw, "#")] = 0;
        char *text = trim(raw);
        snprintf(copy, sizeof copy, "%s", text);
        if (*text && !(*text == '[' ? read_section(text, section, sizeof section) : read_figure(text, section))) {
            fprintf(stderr, "The NVML stand-in does not understand line %d of %s: %s\n", line, path, copy);
            return 0;
        }
    }
    return 1;
}

int scenario_load(void)
{
    const char *path = getenv("TOUCHLINE_NVML_SCENARIO");
    struct stat now;
    int good;
    pthread_mutex_lock(&lock);
    if (!path || stat(path, &now)) {
        fprintf(stderr, "The NVML stand-in needs TOUCHLINE_NVML_SCENARIO, the path of a scenario that exists.\n");
        is_good = 0;
        memset(&seen, 0, sizeof seen);
    } else if (now.st_ino != seen.st_ino || now.st_size != seen.st_size ||
               now.st_mtim.tv_sec != seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec) {
        FILE *file = fopen(path, "r");
        forget();
        seen = now;
        is_good = file && read_file(path, file);
        if (file)
            fclose(file);
    }
    good = is_good;
    pthread_mutex_unlock(&lock);
    return good;
}

double scenario_now(void)
{
    static double begun = -1;
    const char *path = getenv("TOUCHLINE_NVML_CLOCK");
    struct timespec now;
    double seconds;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        int is_read = fscanf(file, "%lf", &seconds) == 1;
        fclose(file);
        return is_read ? seconds : 0;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    pthread_mutex_lock(&lock);
    if (begun < 0)
        begun = seconds;
    seconds -= begun;
    pthread_mutex_unlock(&lock);
    return seconds;
}

/* Copies the value under the lock; a later line replaces an earlier one. */
int scenario_text(const char *section, const char *key, char *text, size_t size)
{
    int i;
    pthread_mutex_lock(&lock);
    for (i = count - 1; i >= 0 && (strcmp(entries[i].section, section) || strcmp(entries[i].key, key)); i--)
        continue;
    if (i >= 0)
        snprintf(text, size, "%s", entries[i].value);
    pthread_mutex_unlock(&lock);
    return i >= 0;
}

int scenario_has_section(const char *section)
{
    char text[2];
    return scenario_text(section, "", text, sizeof text);
}

static int keyframes(const char *section, const char *key, point_t *into)
{
    char value[LINE];
    return scenario_text(section, key, value, sizeof value) ? points(value, into) : 0;
}

static double interpolated(const point_t *frames, int n, double at)
{
    int i = n - 1;
    while (i >= 0 && frames[i].at > at)
        i--;
    if (i < 0)
        return frames[0].figure;
    if (i == n - 1)
        return frames[i].figure;
    return frames[i].figure +
           (frames[i + 1].figure - frames[i].figure) * (at - frames[i].at) / (frames[i + 1].at - frames[i].at);
}

int scenario_figure(const char *section, const char *key, double at, double *figure)
{
    point_t frames[POINTS];
    int n = keyframes(section, key, frames);
    if (n)
        *figure = interpolated(frames, n, at);
    return n > 0;
}

/* Exact: between two keyframes the figure is a straight line, whose mean is its middle. */
int scenario_integral(const char *section, const char *key, double from, double until, double *integral)
{
    point_t frames[POINTS];
    int n = keyframes(section, key, frames), i;
    *integral = 0;
    for (i = -1; n && i < n; i++) {
        double left = i < 0 || frames[i].at < from ? from : frames[i].at;
        double right = i + 1 == n || frames[i + 1].at > until ? until : frames[i + 1].at;
        if (right > left)
            *integral += (right - left) * interpolated(frames, n, (left + right) / 2);
    }
    return n > 0;
}

int scenario_window(const char *section, const char *key, double at, char *word, size_t size)
{
    char value[LINE];
    window_t spans[POINTS];
    int n = scenario_text(section, key, value, sizeof value) ? windows(value, spans, POINTS) : 0, i;
    for (i = 0; i < n; i++)
        if (at >= spans[i].from && at < spans[i].until) {
            snprintf(word, size, "%s", spans[i].word);
            return 1;
        }
    return 0;
}

int scenario_events(const char *section, const char *key, double at)
{
    point_t frames[POINTS];
    int n = keyframes(section, key, frames), i = 0;
    while (i < n && frames[i].at <= at)
        i++;
    return i;
}

double scenario_event(const char *section, const char *key, int index)
{
    point_t frames[POINTS];
    return index < keyframes(section, key, frames) ? frames[index].figure : 0;
}
