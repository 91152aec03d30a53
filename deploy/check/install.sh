# Run by a test as root, on a copy of the machine: what an administrator does with the deb, and what must be so then.
dpkg -i /waybill.deb
waybill --version
getent passwd waybill
[ "$(stat -c %U:%G:%a /etc/waybill)" = root:waybill:750 ]
zcat /usr/share/man/man1/waybill.1.gz | grep -q '^.TH WAYBILL 1'
grep -q waybill /usr/share/bash-completion/completions/waybill
[ -s /usr/share/doc/waybill/operation.md ]
systemd-analyze verify /usr/lib/systemd/system/waybill-export.timer /usr/lib/systemd/system/waybill-run@patients.service
cd /etc/waybill
waybill init patients
chgrp waybill patients.yaml
chmod 640 patients.yaml
# As its account it reads the configuration, and asks for what only the site knows.
said=$(su -s /bin/sh waybill -c 'waybill --config /etc/waybill migrate' 2>&1) && exit 1
printf '%s\n' "$said" | grep PATIENTS_DATABASE_URL
dpkg -r waybill
[ ! -e /usr/bin/waybill ]
[ ! -e /usr/lib/systemd/system/waybill-export.timer ]
[ -s /etc/waybill/patients.yaml ]
getent passwd waybill
