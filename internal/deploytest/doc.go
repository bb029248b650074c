// Package deploytest tries what is in deploy/, the Dockerfile and docker-compose.yml, as far as that
// goes without a container engine: settings are settings of the server, metrics are metrics it has, and
// the proxy's configuration is run by a real nginx in front of real nodes.
package deploytest
