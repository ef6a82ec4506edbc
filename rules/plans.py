"""Subscription plans. Their four names and their order are fixed by the contract; what they include is data.

Never holds: prices, or which organization has which plan.
"""

PLANS = ("free", "standard", "premium", "enterprise")  # each includes those before it
LOWEST_PLAN = PLANS[0]


def is_plan(name: str) -> bool:
    return name in PLANS


def includes(plan: str, required: str) -> bool:
    """Whether the plan gives what the required one gives. A plan nobody knows includes nothing and is in nothing."""
    return is_plan(plan) and is_plan(required) and PLANS.index(plan) >= PLANS.index(required)
