package main

import "strconv"

// dnsPlugin is one of certbot's DNS plugins.
type dnsPlugin struct {
	name  string // without "dns-"
	title string
	wait  int // seconds
}

// dnsPlugins are those that certbot's own project makes, with the time that each waits for DNS.
func dnsPlugins() []dnsPlugin {
	return []dnsPlugin{
		{"cloudflare", "Cloudflare", 10}, {"digitalocean", "DigitalOcean", 10}, {"dnsimple", "DNSimple", 30},
		{"dnsmadeeasy", "DNS Made Easy", 60}, {"gehirn", "Gehirn", 30}, {"google", "Google Cloud DNS", 60},
		{"linode", "Linode", 120}, {"luadns", "LuaDNS", 30}, {"nsone", "NS1", 30}, {"ovh", "OVH", 120},
		{"rfc2136", "a name server that takes updates (RFC 2136)", 60}, {"route53", "Amazon Route 53", 0}, {"sakuracloud", "Sakura Cloud", 90},
	}
}

// tableDNS has the options of certbot's DNS plugins.
func tableDNS() []option {
	var rows []option
	for _, plugin := range dnsPlugins() {
		name := "dns-" + plugin.name
		rows = append(rows, option{Name: name, Topics: []string{topicPlugins, name}, Help: "answer the CA by records at " + plugin.title,
			Target: func(o *options) any { return &choice{o, name} }})
		if plugin.name == "route53" {
			continue // its key comes from AWS's own files and variables, and it knows when a change is everywhere
		}
		rows = append(rows,
			pluginOption(name+"-credentials", "FILE", name, "the file with the keys for "+plugin.title, ""),
			pluginOption(name+"-propagation-seconds", "SECONDS", name, "how long to wait before the CA is asked to look", strconv.Itoa(plugin.wait)))
		if plugin.name == "google" {
			rows = append(rows, pluginOption("dns-google-project", "ID", name, "the project that the zone belongs to", "the key's own"))
		}
	}
	return rows
}
