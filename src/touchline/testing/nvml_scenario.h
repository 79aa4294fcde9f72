/* What the stand-in driver knows of its scenario; the format is documented in nvml.py. */
#ifndef TOUCHLINE_NVML_SCENARIO_H
#define TOUCHLINE_NVML_SCENARIO_H

#include <stddef.h>

/* Reads the scenario anew if its file changed; false when it cannot be read or understood, which stderr then tells. */
int scenario_load(void);

/* Seconds of the scenario: what the clock file says, or since this process first asked. */
double scenario_now(void);

int scenario_has_section(const char *section);

/* Copies the text of a key; false when the section does not have it. */
int scenario_text(const char *section, const char *key, char *text, size_t size);

/* The figure of a key at a time, straight lines between its keyframes; false when the section does not have it. */
int scenario_figure(const char *section, const char *key, double at, double *figure);

/* The integral over time of a figure between two times; false when the section does not have it. */
int scenario_integral(const char *section, const char *key, double from, double until, double *integral);

/* Whether one of the windows of a key is open at a time, and the word that stands before it. */
int scenario_window(const char *section, const char *key, double at, char *word, size_t size);

/* NVML's code of an error's name without NVML_ERROR_; 0 when it is none. */
int scenario_code(const char *word);

/* How many keyframes have come at a time, and the figure of one of them, counted from 0. */
int scenario_events(const char *section, const char *key, double at);
double scenario_event(const char *section, const char *key, int index);

#endif
