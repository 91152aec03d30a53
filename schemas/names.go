package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// MaxBatch is the highest batch number that the names have room for.
const MaxBatch = 999_999_999_999

// Hash returns the SHA-256 of data as 64 lower-case hex digits.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// MaxRetry is the highest retry suffix that the names have room for.
const MaxRetry = 9

// ManifestName returns the name of a batch's manifest, or of its n-th retry after torn ones:
// "log/000000000/000000000042.json", "log/000000000/000000000042.1.json".
func ManifestName(batch int64, retry int) string {
	return fmt.Sprintf("%s/%012d%s.json", LogFolder(batch), batch, retrySuffix(retry))
}

// LogFolder returns the folder of a batch's manifest: "log/000000000".
func LogFolder(batch int64) string { return fmt.Sprintf("log/%09d", batch/1000) }

// PartName returns the name of a part: event type or [Mixed], UTC date of the batch's window,
// batch, first 16 digits of the part's hash, retry:
// "parts/type=died/date=2026-11-22/000000000042-0123456789abcdef.parquet".
func PartName(event string, date time.Time, batch int64, sha256hex string, retry int) string {
	return fmt.Sprintf("parts/type=%s/date=%s/%012d-%s%s.parquet",
		event, date.UTC().Format(time.DateOnly), batch, sha256hex[:16], retrySuffix(retry))
}

// SealedSuffix follows the name of a part that is sealed.
const SealedSuffix = ".age"

// ReceiptName returns the name of the receipt by which a consumer's instance ("morgue@east")
// says that it has applied every batch up to this one: "receipts/morgue@east/000000000/000000000042.json".
func ReceiptName(instance string, batch int64) string {
	return fmt.Sprintf("receipts/%s/%09d/%012d.json", instance, batch/1000, batch)
}

// FloorName returns the name of the n-th floor: "floors/000000000001.json".
func FloorName(n int64) string { return fmt.Sprintf("floors/%012d.json", n) }

func retrySuffix(retry int) string {
	if retry == 0 {
		return ""
	}
	return "." + strconv.Itoa(retry)
}

var (
	manifestName = regexp.MustCompile(`^log/([0-9]{9})/([0-9]{12})(?:\.([1-9]))?\.json$`)
	partName     = regexp.MustCompile(`^parts/type=([a-z_]{1,32})/date=([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{12})-([0-9a-f]{16})(?:\.([1-9]))?\.parquet(\.age)?$`)
	thousand     = regexp.MustCompile(`^[0-9]{9}$`)
	receiptName  = regexp.MustCompile(`^receipts/([a-z0-9][a-z0-9_-]{0,62}(?:@[a-z0-9][a-z0-9_-]{0,62})?)/([0-9]{9})/([0-9]{12})\.json$`)
)

// ParseManifestName is the inverse of [ManifestName].
func ParseManifestName(name string) (batch int64, retry int, ok bool) {
	m := manifestName.FindStringSubmatch(name)
	if m == nil {
		return 0, 0, false
	}
	batch, retry = number(m[2]), int(number(m[3]))
	return batch, retry, number(m[1]) == batch/1000
}

// PartRef has the fields of a part's name.
type PartRef struct {
	Event string // an event type or Mixed
	Date  time.Time
	Batch int64
	Hash  string // the first 16 digits of the SHA-256
	Retry int
	// Sealed: the name ends in SealedSuffix.
	Sealed bool
}

// ParsePartName is the inverse of [PartName].
func ParsePartName(name string) (PartRef, bool) {
	m := partName.FindStringSubmatch(name)
	if m == nil {
		return PartRef{}, false
	}
	date, err := time.Parse(time.DateOnly, m[2])
	return PartRef{Event: m[1], Date: date, Batch: number(m[3]), Hash: m[4], Retry: int(number(m[5])), Sealed: m[6] != ""}, err == nil
}

// ParseReceiptName is the inverse of [ReceiptName].
func ParseReceiptName(name string) (instance string, batch int64, ok bool) {
	m := receiptName.FindStringSubmatch(name)
	if m == nil {
		return "", 0, false
	}
	batch = number(m[3])
	return m[1], batch, number(m[2]) == batch/1000
}

// IsThousand reports whether a folder is one of a thousand batches, as in the names of manifests and
// receipts.
func IsThousand(folder string) bool { return thousand.MatchString(folder) }

// number parses digits that a pattern has matched; none are 0.
func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}
