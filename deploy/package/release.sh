#!/bin/sh
# release.sh VERSION PLATFORM…: builds archives, deb, rpm, an SBOM and checksums in build/release. It needs bin/waybill for
# this machine, nfpm and cyclonedx-gomod in PATH, and no network. The same commit gives the same archives.
set -eu
version=$1
shift
out=build/release
stage=$out/stage
rm -rf "$out"
mkdir -p "$stage"
bin/waybill man | gzip -9n >"$stage/waybill.1.gz"
for shell in bash fish; do bin/waybill completion "$shell" >"$stage/completion.$shell"; done
cp LICENSE README.md CHANGELOG.md "$stage"
for platform; do
	os=${platform%/*} arch=${platform#*/} program=waybill
	[ "$os" != windows ] || program=waybill.exe
	echo "building $platform"
	GOOS=$os GOARCH=$arch go build -trimpath -ldflags '-s -w' -o "$stage/waybill-$os-$arch" ./cmd/waybill
	ln "$stage/waybill-$os-$arch" "$stage/$program"
	tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" \
		-cf - "$program" LICENSE README.md CHANGELOG.md waybill.1.gz | gzip -9n >"$out/waybill_${version}_${os}_$arch.tar.gz"
	rm "$stage/$program"
	[ "$os" = linux ] || continue
	for packager in deb rpm; do
		VERSION=$version ARCH=$arch nfpm package --config deploy/package/nfpm.yaml --packager "$packager" --target "$out/" >/dev/null
	done
done
cyclonedx-gomod bin -json -output "$out/waybill_$version.cdx.json" "$stage/waybill-linux-amd64" 2>/dev/null
rm -r "$stage"
cd "$out"
sha256sum -- * >SHA256SUMS
cat SHA256SUMS
