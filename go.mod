module github.com/cairn-ca/cairn

go 1.26
