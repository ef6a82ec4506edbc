"""Invoices for organizations and their companies: a module of Modplane, written with its SDK."""
