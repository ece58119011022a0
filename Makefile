# Every task of this repository; `make` lists them. CARGO_TARGET_DIR is honoured by all.
.DEFAULT_GOAL := help
.PHONY: help demo dev test chaos rolling core conformance check bench compare fmt

PHOTOS ?=
ARGS   ?=
SERVER ?= redis-server
FORMER ?= 7567166

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## push real photos through the real queue and show what became of them (PHOTOS=folder takes yours)
	@server="$$(scripts/setup)" && scripts/photos && \
	  DARKROOM_REDIS_SERVER="$$server" cargo run --quiet --all-features -- demo $(if $(PHOTOS),--photos "$(PHOTOS)") $(ARGS)

dev: ## run a worker with a Redis and an S3 server of its own, data in .darkroom/
	@server="$$(scripts/setup)" && DARKROOM_REDIS_SERVER="$$server" cargo run --quiet --all-features -- dev $(ARGS)

test: ## run every test against a real Redis and real S3 servers (Ceph on Debian 12)
	@server="$$(scripts/setup)" && DARKROOM_TEST_REDIS_SERVER="$$server" cargo test --workspace --all-features $(ARGS)

chaos: ## show that nothing is lost, at full size: half an hour, and a row for each scenario
	@server="$$(scripts/setup)" && DARKROOM_TEST_REDIS_SERVER="$$server" DARKROOM_TEST_CHAOS=full \
	  cargo test --workspace --all-features --test chaos $(ARGS) -- --test-threads 1

rolling: ## deploy this build over an earlier one under load, and back (builds it first; FORMER=commit)
	@server="$$(scripts/setup)" && former="$$(scripts/former "$(FORMER)")" && \
	  DARKROOM_TEST_REDIS_SERVER="$$server" DARKROOM_TEST_FORMER="$$former" DARKROOM_TEST_CHAOS=full \
	  cargo test --all-features --test chaos $(ARGS) -- --include-ignored rolling::

core: ## run the tests of the queue on another server (SERVER=/usr/bin/redis-server)
	DARKROOM_TEST_REDIS_SERVER="$(SERVER)" cargo test --workspace --all-features --test it --test chaos -- scripts presence operate \
	  inspect boot idle bench producers worker:: deaths redis_outages lost_answers model:: processor $(ARGS)

conformance: ## run the storage suite on the embedded server, Ceph, moto and Garage (compiles Garage once, some minutes)
	@server="$$(scripts/setup)" && garage="$$(scripts/garage)" && moto="$$(scripts/venv moto tests/python/moto.txt)" && \
	  DARKROOM_TEST_REDIS_SERVER="$$server" DARKROOM_TEST_GARAGE="$$garage" DARKROOM_TEST_MOTO="$$moto" \
	  cargo test --all-features --test it $(ARGS) -- --include-ignored embedded:: ceph:: moto:: garage::

check: ## everything but the tests: format, lints, docs, licences, unused dependencies, log lines, deployment
	@scripts/check

bench: ## measure pictures and their stages, rendered ones and photos in target/photos (ARGS="-- jpeg" takes some)
	@cargo bench --bench normalize --bench stages $(ARGS)

compare: ## CPU and memory of a photo beside sharp, libvips and Pillow (ARGS="photo.jpg" takes yours)
	@benches/compare/run $(ARGS)

fmt: ## format the code
	@cargo fmt --all
