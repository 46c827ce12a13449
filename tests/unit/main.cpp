// SPDX-License-Identifier: Apache-2.0
// The runner of the unit tests: no root, no kernel, no network.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
