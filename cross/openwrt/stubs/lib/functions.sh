# shellcheck shell=dash
# Of OpenWrt's file of this name what a package's scripts call, for cross/check-package: the user
# that the package requires, and its services enabled, started, disabled and stopped.

add_group_and_user() {
	local id=32768 name group
	name=$(sed -n 's/^Require-User: *//p' "$root/usr/lib/opkg/info/$pkgname.control" 2>/dev/null)
	[ ! -f "$root/lib/apk/packages/$pkgname.rusers" ] || name=$(cat "$root/lib/apk/packages/$pkgname.rusers")
	[ -n "$name" ] || return 0
	group=${name#*:}
	name=${name%%:*}
	grep -q "^$group:" "$root/etc/group" || echo "$group:x:$id:" >>"$root/etc/group"
	grep -q "^$name:" "$root/etc/passwd" ||
		echo "$name:x:$id:$id:$name:/var/run/$name:/bin/false" >>"$root/etc/passwd"
}

services() {
	local list=$root/lib/apk/packages/$pkgname.list
	[ -f "$list" ] || list=$root/usr/lib/opkg/info/$pkgname.list
	grep '^/etc/init.d/' "$list"
}

default_postinst() {
	local root="$IPKG_INSTROOT" service
	: "${pkgname:=$(basename "${1%.*}")}"
	[ ! -f "$root/usr/lib/opkg/info/$pkgname.list" ] || add_group_and_user
	for service in $(services); do
		[ "$PKG_UPGRADE" = 1 ] || "$service" enable
		"$service" start
	done
}

default_prerm() {
	local root="$IPKG_INSTROOT" service
	: "${pkgname:=$(basename "${1%.*}")}"
	for service in $(services); do
		[ "$PKG_UPGRADE" = 1 ] || "$service" disable
		"$service" stop
	done
}
