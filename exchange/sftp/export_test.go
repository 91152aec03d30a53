package sftp

import "time"

// ProbeAlways has every pooled connection answer within a time before it is used.
func (s *Store) ProbeAlways(within time.Duration) { s.probing = probing{within: within} }
