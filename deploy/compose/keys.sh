#!/bin/sh
# Makes keys for the three services, each in a folder of its own below keys/ with the service's configuration. Keys that are
# there stay. As root, it gives the folders to the account that the images run as.
set -eu
umask 077
cd "$(dirname "$0")"
waybill=${WAYBILL:-../../bin/waybill}

key() { # SERVICE KIND
	mkdir -p "keys/$1"
	[ -e "keys/$1/$2.key" ] || "$waybill" keys new "$2" "keys/$1/$2.key" ${3:+--name "$3"} >/dev/null
}
public() { # SERVICE KIND
	"$waybill" keys show "keys/$1/$2.key" | awk 'NR == 2 {print $2}'
}

key patients sign patients
key patients seal
for reader in morgue appointments; do
	key $reader sign $reader
	key $reader open
done
for service in patients morgue appointments; do
	sed -e "s|PATIENTS_SIGNS|$(public patients sign)|" \
		-e "s|MORGUE_SIGNS|$(public morgue sign)|" -e "s|MORGUE_OPENS|$(public morgue open)|" \
		-e "s|APPOINTMENTS_SIGNS|$(public appointments sign)|" -e "s|APPOINTMENTS_OPENS|$(public appointments open)|" \
		config/$service.yaml >keys/$service/$service.yaml
done
[ "$(id -u)" != 0 ] || chown -R 65532:65532 keys/*
