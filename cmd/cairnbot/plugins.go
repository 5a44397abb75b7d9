package main

import (
	"context"
	"slices"
	"strings"
)

// plugin is a method, as the verb plugins lists it.
type plugin struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Proves      bool   `json:"authenticator"` // control of names
	Installs    bool   `json:"installer"`
}

// pluginList is the result of plugins.
type pluginList struct {
	Plugins []plugin `json:"plugins"`
}

// methods lists what there is, in the order of the alphabet.
func methods() []plugin {
	list := []plugin{
		{Name: "standalone", Description: "Runs a web server of our own for a moment, to prove control by HTTP", Proves: true},
		{Name: "webroot", Description: "Puts files where a web server that runs here serves them", Proves: true},
		{Name: "manual", Description: "Proves control by hand, or by scripts of yours", Proves: true},
	}
	for _, p := range dnsPlugins() {
		list = append(list, plugin{Name: "dns-" + p.name, Description: "Adds records to the DNS, at " + p.title, Proves: true})
	}
	slices.SortFunc(list, func(a, b plugin) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// plugins lists the methods to prove control and to install. All are part of the program, so --init and --prepare find the same.
func (a *app) plugins(context.Context) error {
	result := pluginList{Plugins: []plugin{}}
	a.frame()
	for _, p := range methods() {
		if a.onlyAuthenticators && !p.Proves || a.onlyInstallers && !p.Installs {
			continue
		}
		result.Plugins = append(result.Plugins, p)
		var roles []string
		if p.Proves {
			roles = append(roles, "Authenticator")
		}
		if p.Installs {
			roles = append(roles, "Installer")
		}
		a.say("* %s\nDescription: %s\nInterfaces: %s\nEntry point: %s = built in\n", p.Name, p.Description, strings.Join(append(roles, "Plugin"), ", "), p.Name)
	}
	if len(result.Plugins) == 0 {
		a.say("No plugins")
	}
	a.frame()
	a.result = result
	return nil
}
