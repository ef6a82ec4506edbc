"""How the property tests run."""

from hypothesis import HealthCheck, settings

# Time says nothing on a machine that others use too, and the first draw of text builds a table of all of Unicode.
settings.register_profile("rules", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rules")
