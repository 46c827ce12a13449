# SPDX-License-Identifier: Apache-2.0
"""What the tests share: servers, clients, monitors, and how to wait for a condition."""
