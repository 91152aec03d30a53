#!/bin/sh
# Makes the account that the units run as. It stays when the package is removed: files belong to it.
set -e
getent passwd waybill >/dev/null || useradd --system --user-group --no-create-home --home-dir /var/cache/waybill --shell /usr/sbin/nologin waybill
