package site

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Tutorial is what a newcomer types in another terminal while a site is running: a death, and its retraction.
//
//go:embed tutorial.sh
var Tutorial string

// EnvironmentFile is what the tutorial reads first, in the folder that it is typed in.
const EnvironmentFile = "build/demo.env"

// GiveAccess writes a configuration per service next to the exchange, and below folder the [EnvironmentFile], for a
// shell, which finds the program in folder/bin. The file names the databases with their passwords.
func (s *Site) GiveAccess(folder string) error {
	for _, name := range Services() {
		if err := s.Party(name).Write(filepath.Join(s.Root, name+".yaml")); err != nil {
			return err
		}
	}
	variables := append([]string{
		"PATH=" + filepath.Join(folder, "bin") + ":$PATH", "WAYBILL_CONFIG=" + s.Root, "EXCHANGE=" + s.Exchange.Path, "ASH=00000000-0000-4000-8000-000000000001",
	}, s.Host.Environment...)
	for _, name := range Services() {
		variables = append(variables, fmt.Sprintf("%s='%s'", strings.ToUpper(name), s.Services[name].URL))
	}
	path := filepath.Join(folder, EnvironmentFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte("export "+strings.Join(variables, " ")+"\n"), 0o600)
}
