package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"waybill/exchange/store"
	"waybill/partner"
)

// partnersFolder is where partners' files lie in the folder of the configuration.
const partnersFolder = "partners"

// partner returns the partner of that name.
func (env *environment) partner(name string) (*partner.Partner, error) {
	p, err := partner.Find(env.partnerFolders(), name)
	if err == nil {
		env.service, env.log = name, env.log.With("partner", name)
	}
	return p, err
}

// partnerFolders are those next to the configuration's files, each once.
func (env *environment) partnerFolders() (folders []string) {
	for _, path := range env.paths {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			path = filepath.Dir(path)
		}
		if folder := filepath.Join(path, partnersFolder); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// placeOf returns the database and the log that are the partner's: a service's, or its own. With a
// service's come the settings of its import, if it has one.
func (env *environment) placeOf(p *partner.Partner) (place, *importConfig, error) {
	of, settings := defaults().place, (*importConfig)(nil)
	of.path, of.zone = p.Path, time.UTC
	of.Database, of.DatabaseFile = p.Database, p.DatabaseFile
	of.Store, of.StorePassword, of.StorePasswordFile, of.AllowPlaintext = p.Log, p.LogPassword, p.LogPasswordFile, p.AllowPlaintext
	if p.Service != "" {
		list, err := env.configs(p.Service)
		if err != nil {
			return place{}, nil, err
		}
		of, settings = list[0].place, list[0].Import
	}
	of.zone = p.Location(of.zone)
	return of, settings, nil
}

// openFolder opens the partner's folder.
func (env *environment) openFolder(p *partner.Partner) (*store.Place, error) {
	folder, err := p.Open(env.policy)
	if err == nil {
		env.opened = append(env.opened, folder)
	}
	return folder, err
}
