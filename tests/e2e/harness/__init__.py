# SPDX-License-Identifier: Apache-2.0
"""What the tests share: servers, clients, monitors, and waiting for a condition."""
