"""What this platform is to the modules that are written for it."""

# The version of the contract between platform and modules (manifest, hooks, events, federation), which is what a
# manifest's `dependencies.platform_version` asks for. Not the version of this server: that may change every week.
PLATFORM_VERSION = "2.0.0"
