#include "cli.h"
int command_risk(int argc, char **argv) { (void)argc; (void)argv; return 1; }
