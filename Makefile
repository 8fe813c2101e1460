PYTHON ?= python3

demo: ; @$(PYTHON) packaging/bootstrap.py demo
test: ; @$(PYTHON) packaging/bootstrap.py test $(ARGS)
app: ; @$(PYTHON) packaging/bootstrap.py app

.PHONY: demo test app
